"""The Image tab: one or several pictures, a spoken question, and text.

Knows: its inputs. Does not know: everything that the tabs share (demos.tabs.tab).
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event

import gradio as gr
from gradio.components import Component

from demos.base.languages import Words
from demos.tabs.spec import Chip, Keep, Media, TabSpec
from omni.conversation import Audio, Image, Part


def _inputs(words: Words) -> Mapping[str, Component]:
    return {
        "pictures": gr.Gallery(
            label=words.static("pictures"),
            type="filepath",
            interactive=True,
            file_types=["image"],
            sources=["upload", "webcam", "clipboard"],
            columns=3,
            object_fit="contain",
            buttons=[],
            elem_id="image-pictures",
            elem_classes=["takes-image"],
        ),
        "question": spoken_question("image", words),
    }


def spoken_question(tab: str, words: Words) -> gr.Audio:
    """The microphone of a tab whose main input is something to see."""
    return gr.Audio(
        label=words.static("spoken-question"),
        sources=["microphone", "upload"],
        type="filepath",
        buttons=[],
        elem_id=f"{tab}-question",
        elem_classes=["takes-audio"],
    )


def _parts(media: Media, keep: Keep, stop: Event) -> tuple[Part, ...]:
    given = media["pictures"] or ()
    parts: list[Part] = [Image(keep(path, "picture")) for path, _caption in given]
    if media["question"]:
        parts.append(Audio(keep(media["question"], "sound")))
    return tuple(parts)


IMAGE = TabSpec(
    "image",
    _inputs,
    _parts,
    chips=(Chip("describe"), Chip("read-text"), Chip("compare", needs=2)),
    examples="image",
    camera=True,
)
