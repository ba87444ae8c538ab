"""One event for many changes: it comes when a moment has passed since the first of them.

Knows: how Gradio's events overlap in the browser. Does not know: what is done with the event.

Gradio asks "is this event still being answered?" before it collects the inputs, and notes that it
is only afterwards. When one answer changes several components, each sends an event of its own in
the same instant, all of them are asked for, and whichever answer comes last stays on the page,
however old its inputs are. An event that comes alone is safe: with ``always_last`` the next one
waits for its answer and then takes the newest inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components import Component


def settled(name: str, components: Sequence[Component]) -> Any:
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

    def event(fn: Any, *arguments: Any, **options: Any) -> Any:
        return bridge.settled(fn, *arguments, trigger_mode="always_last", **options)

    return event
