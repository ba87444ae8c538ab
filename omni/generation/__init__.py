"""From a prompt to text and audio codes: the two-phase loop and all it stands on.

Knows: steps, caches, draws, pauses. Does not know: sound, files, who asked.
"""
