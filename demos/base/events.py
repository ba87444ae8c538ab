"""The page's events: what they have in common.

Knows: Gradio's options of an event. Does not know: any component, what is done in an event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import gradio as gr

# For events of the page itself: no progress bars over what they change, nothing in the API.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


class Event(Protocol):
    """What Gradio returns for an event that was connected."""

    def then(
        self,
        fn: Callable[..., Any] | None,
        inputs: Any = None,
        outputs: Any = None,
        **options: Any,
    ) -> Event:
        """Connect what happens when this is over; see Gradio's event listeners."""


# An event that something can be connected to, such as ``button.click``; called like Event.then.
Listener: TypeAlias = Callable[..., Event]


def refusal(sentence: str) -> gr.Error:
    """An expected refusal, to be raised: the sentence for whoever asked, nothing in the log."""
    return gr.Error(sentence, print_exception=False)
