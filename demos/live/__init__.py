"""Live: a conversation by microphone (and camera) without hands.

Knows: a live session, its connection to the browser, its panel in a tab.
Does not know: how turns are found (omni.listening), how answers are made (omni.engine).
"""
