"""What all of the page stands on: words, theme, and where Gradio is not enough.

Knows: Gradio. Does not know: turns, tabs, the engine.
"""
