"""Rows of the quality table that people's speech and everyday texts are measured by."""
