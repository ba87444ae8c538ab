"""A hands-free conversation: who speaks when, and what of an answer was heard.

Knows: no socket, no user interface.
"""
