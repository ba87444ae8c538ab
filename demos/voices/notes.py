"""Sentences of the voice panel as HTML.

Knows: how a screen reader says them. Does not know: what they say.
"""

from __future__ import annotations

import html


def note(sentence: str) -> str:
    """A sentence as HTML that a screen reader says when it has time."""
    return f'<div role="status">{_lines(sentence)}</div>' if sentence else ""


def refusal(sentence: str) -> str:
    """A sentence that says what does not work, as HTML."""
    return f'<div role="alert" class="refusal">{_lines(sentence)}</div>' if sentence else ""


def warning(sentence: str) -> str:
    """A sentence that says what may not work, as HTML."""
    return f'<div role="status" class="warning">{_lines(sentence)}</div>' if sentence else ""


def _lines(sentence: str) -> str:
    return html.escape(sentence).replace("\n", "<br>")
