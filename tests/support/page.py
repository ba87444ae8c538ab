"""The page without a browser: its handlers called as Gradio calls them.

Knows: Gradio's functions and their inputs. Does not know: what handlers do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import gradio as gr

from demos.turns.chat import Thread

# The endpoints for scripts: their names stay as they are from release to release.
ENDPOINTS = (
    "chat",
    "new_conversation",
    "transcribe",
    "read_aloud",
    "model",
    "load_model",
    "unload_model",
    "use_adapter",
)


def function(page: gr.Blocks, name: str) -> Any:
    """What Gradio keeps of an endpoint."""
    return next(fn for fn in page.fns.values() if fn.api_name == name)


def handler(page: gr.Blocks, name: str) -> Callable[..., Any]:
    """The Python function behind an endpoint."""
    return function(page, name).fn


def request(key: str = "browser", language: str = "en") -> Any:
    """Of the browser session ``key``."""
    return SimpleNamespace(session_hash=key, headers={"accept-language": language})


def event(**data: Any) -> Any:
    """What Gradio tells about an event."""
    return SimpleNamespace(**data)


def values(page: gr.Blocks, name: str, **given: Any) -> dict[Any, Any]:
    """The values of an endpoint's inputs: as shown, but for those ``given`` by their elem_id.

    ``-`` is written ``_``; ``thread`` is the tab's chat.
    """
    found = {}
    for component in function(page, name).inputs:
        value = getattr(component, "value", None)
        key = (component.elem_id or "").replace("-", "_")
        if isinstance(component, gr.State) and isinstance(value, Thread):
            key = "thread"
        found[component] = given.pop(key, value)
    assert not given, f"{name} has no {', '.join(given)}"
    return found


def shown(tab: str, changes: Mapping[Any, Any]) -> dict[str, Any]:
    """Changes of a tab by the names of its components: their elem_id without the tab's."""
    named = {}
    for component, value in changes.items():
        name = component.elem_id or ("thread" if isinstance(value, Thread) else "")
        named[name.removeprefix(f"{tab}-").replace("-", "_")] = value
    return named


def ask(
    page: gr.Blocks,
    text: str,
    key: str = "browser",
    thread: Thread | None = None,
    name: str = "audio_turn",
    event: Any = None,
) -> Iterator[dict[str, Any]]:
    """A turn by ``name``, as :func:`shown`; ``event``: what Gradio tells of a retry or an edit."""
    tab = name.split("_")[0]
    events = () if event is None else (event,)
    given = values(page, name, thread=thread or Thread(), **{f"{tab}_text": text})
    for changes in handler(page, name)(request(key), *events, given):
        yield shown(tab, changes)
