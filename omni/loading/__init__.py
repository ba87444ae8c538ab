"""From a name to a loaded model: found, fetched, checked, placed, quantized.

Knows: files, sizes, plans, bits. Does not know: how a turn runs.
"""
