"""The Audio tab: a recording or a sound file, and text.

Knows: its input. Does not know: everything that the tabs share (demos.tabs.tab).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from demos.base.languages import Words
from demos.tabs.spec import Keep, TabSpec
from omni.conversation import Audio, Part


def _inputs(words: Words) -> Sequence[Component]:
    return [
        gr.Audio(
            label=words.static("recording"),
            sources=["microphone", "upload"],
            type="filepath",
            buttons=[],
            elem_id="audio-recording",
        )
    ]


def _parts(values: Sequence[Any], keep: Keep) -> tuple[Part, ...]:
    (recording,) = values
    return (Audio(keep(recording)),) if recording else ()


AUDIO = TabSpec("audio", _inputs, _parts)
