"""Drawn pictures and clips, with what can be asked about them."""
