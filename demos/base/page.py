"""Gradio's page, with the routes of ours that are served beside it.

Knows: that there are some. Does not know: what they do.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from starlette.routing import BaseRoute


class Page(gr.Blocks):
    """``beside``: routes for the same server. Gradio's login does not protect them: they must."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.beside: list[BaseRoute] = []


def routes_beside(page: gr.Blocks) -> list[BaseRoute]:
    """The routes of ours to serve with ``page``."""
    return page.beside if isinstance(page, Page) else []
