"""Weights that were quantized once and kept: written, found again, listed, removed."""
