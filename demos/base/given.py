"""What a request gives for the inputs of an event, before anything works with it.

Knows: which kinds of value each of Gradio's components sends. Does not know: handlers.

The page sends values of the right kind; scripts send what people write, and forged requests
anything. A value of another kind is refused with a sentence that names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, get_type_hints

import gradio as gr
from gradio.blocks import Block

from omni.errors import OmniError

DEEPEST = 60  # lists and tables within each other, in one value
MOST_ROWS = 10**9
Choices = gr.Radio | gr.Dropdown | gr.CheckboxGroup
FILES = (gr.File, gr.Audio, gr.Video, gr.Image, gr.UploadButton)


class GivenError(OmniError):
    """A request gives what its event cannot work with."""


def checked(inputs: Sequence[Block], given: Sequence[Any], public: bool) -> list[Any]:
    """The values, with half characters (lone surrogates) replaced, which no file can hold.

    Args:
        public: of an endpoint for scripts, whose values are named by the labels of its components;
            null is no value there, except for files and numbers. What a script leaves out at the
            end is as it is by itself: parameters that come later are put behind those that are.

    Raises:
        GivenError: one is missing, or of another kind.
    """
    if public:
        given = [*given, *(getattr(one, "value", None) for one in inputs[len(given) :])]
    if len(given) < len(inputs):
        missing = inputs[len(given)]
        raise GivenError("value-missing", "{name} is missing.", name=_name(missing, public))
    values = []
    for position, value in enumerate(given):
        block = inputs[position] if position < len(inputs) else None
        name = _name(block, public)
        value = _whole(value, name)
        if block is not None:
            _check(block, value, name, public)
        values.append(value)
    return values


def check_event(function: Callable[..., Any] | None, data: Any) -> None:
    """Look at what a request tells about the event itself: which row of a chat, its new text.

    Raises:
        GivenError: ``function`` takes it, and it is not what the page tells.
    """
    kind = _event_kind(function)
    if kind is None:
        return
    told = data if isinstance(data, dict) else {}
    if kind is gr.EventData:
        fits = _is_index(told.get("row"))
    else:
        place = told.get("index")
        places = place if isinstance(place, list) and place else [place]
        fits = all(map(_is_index, places))
        fits = fits and "value" in told
        if kind is gr.EditData:
            fits = fits and all(
                isinstance(told.get(key), str) for key in ("value", "previous_value")
            )
    if not fits:
        raise GivenError("event-unknown", "The page does not know such an event: load it again.")


@lru_cache(maxsize=512)
def _event_kind(function: Callable[..., Any] | None) -> type | None:
    """The kind of event that a handler asks for, if it does."""
    try:
        hints = get_type_hints(function) if function is not None else {}
    except (NameError, TypeError):  # a function of Gradio's own
        return None
    kinds = [hint for hint in hints.values() if isinstance(hint, type)]
    return next((kind for kind in kinds if issubclass(kind, gr.EventData)), None)


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_ROWS


def unusable(inputs: Sequence[Block], public: bool) -> GivenError:
    """For a value whose component itself cannot take it."""
    name = ", ".join(dict.fromkeys(_name(block, public) for block in inputs)) or "?"
    return GivenError(
        "value-unusable", "One of the values cannot be used ({name}): look at it again.", name=name
    )


def _check(block: Block, value: Any, name: str, public: bool) -> None:
    if isinstance(block, gr.State):
        return
    if isinstance(block, FILES):
        _check_file(block, value, name)
    elif value is None and not (public and not isinstance(block, gr.Number)):
        return
    elif isinstance(block, gr.Textbox):
        if not isinstance(value, str):
            raise GivenError("value-text", "{name} must be a text.", name=name)
    elif isinstance(block, (gr.Number, gr.Slider)):
        if not _is_number(value):
            raise GivenError("value-number", "{name} must be a number.", name=name)
    elif isinstance(block, gr.Checkbox):
        if not isinstance(value, bool):
            raise GivenError("value-switch", "{name} must be true or false.", name=name)
    elif isinstance(block, Choices):
        _check_choice(block, value, name, public)


def _check_file(block: Block, value: Any, name: str) -> None:
    many = getattr(block, "file_count", "single") != "single"
    if value is None and not isinstance(block, gr.UploadButton):
        return
    if many and not isinstance(value, list):
        raise GivenError("value-files", "{name} must be a list of uploaded files.", name=name)
    for file in value if many else [value]:
        if not (isinstance(file, dict) and isinstance(file.get("path"), str) and file["path"]):
            raise GivenError(
                "value-file", "{name} must be a file that was uploaded, or null.", name=name
            )


def _check_choice(block: Any, value: Any, name: str, public: bool) -> None:
    many = isinstance(block, gr.CheckboxGroup) or getattr(block, "multiselect", False)
    one = isinstance(value, (str, int, float)) and not isinstance(value, bool)
    choices = [choice for _, choice in block.choices or ()]
    fits = isinstance(value, list) if many else one
    if public and fits and not many and not getattr(block, "allow_custom_value", False):
        fits = value in choices  # the page's own choices change; Gradio looks at those
    if not fits:
        raise GivenError(
            "value-choice",
            "{name} must be one of: {choices}.",
            name=name,
            choices=", ".join(f'"{choice}"' for choice in choices),
        )


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and (isinstance(value, int) or math.isfinite(value))
    )


def _whole(value: Any, name: str, depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise GivenError("value-deep", "{name} has too many lists within each other.", name=name)
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, list):
        return [_whole(item, name, depth + 1) for item in value]
    if isinstance(value, dict):
        return {
            _whole(key, name, depth + 1): _whole(item, name, depth + 1)
            for key, item in value.items()
        }
    return value


def whole_text(text: str) -> str:
    """Text without half characters (lone surrogates), which no file and no page can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _name(block: Block | None, public: bool) -> str:
    """What the sentence calls an input: the parameter, or the element of the page."""
    if block is None:
        return "?"
    label = getattr(block, "label", None)
    if public and isinstance(label, str) and label:
        return label
    return block.elem_id or type(block).__name__
