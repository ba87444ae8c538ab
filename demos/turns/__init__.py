"""A turn from Send to the screen: the chat, its files, its way out and in.

Knows: the engine's events, sessions. Does not know: components.
"""
