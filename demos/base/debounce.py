"""Debouncing: one event for many changes, a moment after the first of them.

Knows: how Gradio's events overlap in the browser. Does not know: what is done with the event.

Gradio asks "is this event still being answered?" before it collects the inputs, and notes that it
is only afterwards. When one answer changes several components, each sends an event of its own in
the same instant, all of them are asked for, and whichever answer comes last stays on the page,
however old its inputs are. An event that comes alone is safe: with ``always_last`` the next one
waits for its answer and then takes the newest inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr
from gradio.blocks import Block

from demos.base.events import Event, Listener


def debounced(name: str, components: Iterable[Block]) -> Listener:
    """The event after changes of ``components``, to be called like ``component.change``.

    It is invisible, and must stand where the page always has it (in no folded accordion).

    Args:
        name: a name of its own, for the browser.
    """
    bridge = gr.HTML(
        elem_id=f"{name}-settled",
        elem_classes=["bridge"],
        js_on_load=f'omniSettle.watch("{name}", () => trigger("settled"));',
    )
    gr.on(
        [component.change for component in components],  # type: ignore[attr-defined]
        None,
        js=f'() => {{ omniSettle.changed("{name}"); }}',
        show_progress="hidden",
        queue=False,
    )

    def event(
        fn: Callable[..., Any] | None, inputs: Any = None, outputs: Any = None, **options: Any
    ) -> Event:
        return bridge.settled(fn, inputs, outputs, trigger_mode="always_last", **options)

    return event
