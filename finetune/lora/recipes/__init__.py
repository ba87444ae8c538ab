"""Rows to try fine-tuning with, made by the synthesizer and the painter of the embedded model."""
