"""Adapters: what fine-tuning has learnt, put beside the weights of a loaded model."""
