"""From audio codes to gapless sound while more codes come.

Knows: segments, cross-fades, the thread that decodes beside the loop. Does not know: text.
"""
