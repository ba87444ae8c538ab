"""Baichuan-Omni-1.5 as a library: our own implementation of the architecture, its media, prompt,
generation and speech, behind one engine.

Importing the package imports neither torch nor Gradio. Start at :mod:`omni.engine`.
"""

import os

# torch then asks for memory in pages of 2 MB where the system gives them to whoever asks (Linux,
# by default): a model of 14 GB is otherwise three million pages, each cleared and looked up by
# itself. torch reads it when it takes memory for the first time.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__version__ = "0.1.0"
