"""Rows of a data file: read, checked, turned into what the model learns."""
