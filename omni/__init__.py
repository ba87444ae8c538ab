"""Baichuan-Omni-1.5 as a library: our own implementation of the architecture, its media, prompt,
generation and speech, behind one engine.

Importing the package imports neither torch nor Gradio. Start at :mod:`omni.engine`.
"""

__version__ = "0.1.0"
