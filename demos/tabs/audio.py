"""The Audio tab: something said, or a sound file, and text.

Knows: its input. Does not know: everything that the tabs share (demos.tabs.tab).
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event

import gradio as gr
from gradio.components import Component

from demos.base.languages import Words
from demos.tabs.spec import Chip, Keep, Media, TabSpec
from omni.conversation import Audio, Part


def _inputs(words: Words) -> Mapping[str, Component]:
    return {
        "sound": gr.Audio(
            label=words.static("recording"),
            sources=["microphone", "upload"],
            type="filepath",
            buttons=[],
            elem_id="audio-recording",
            elem_classes=["takes-audio"],
        )
    }


def _parts(media: Media, keep: Keep, stop: Event) -> tuple[Part, ...]:
    return (Audio(keep(media["sound"], "sound")),) if media["sound"] else ()


AUDIO = TabSpec(
    "audio",
    _inputs,
    _parts,
    chips=(
        Chip("transcribe", task="transcribe"),
        Chip("translate", takes_text=True),
        Chip("summarize-speech"),
        Chip("read-aloud", needs=0, task="read"),
    ),
    examples="audio",
    live="microphone",
)
