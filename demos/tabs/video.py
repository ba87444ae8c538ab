"""The Video tab: a clip with or without its sound, a spoken question, and text.

Knows: its inputs. Does not know: everything that the tabs share (demos.tabs.tab).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from demos.base.languages import Words
from demos.tabs.image import spoken_question
from demos.tabs.spec import Keep, TabSpec
from omni.conversation import Audio, Part, Video
from omni.errors import MediaError


def _inputs(words: Words) -> Sequence[Component]:
    return [
        gr.Video(
            label=words.static("clip"),
            sources=["upload", "webcam"],
            include_audio=True,
            webcam_options=gr.WebcamOptions(mirror=False),
            buttons=[],
            elem_id="video-clip",
        ),
        gr.Checkbox(
            True, label=words.static("clip-sound"), container=False, elem_id="video-clip-sound"
        ),
        spoken_question("video", words),
    ]


def _parts(values: Sequence[Any], keep: Keep) -> tuple[Part, ...]:
    clip, with_sound, question = values
    parts: list[Part] = []
    if clip:
        path = keep(clip)
        parts.append(Video(path))
        if with_sound and is_audible(path):
            parts.append(Audio(path))
    if question:
        parts.append(Audio(keep(question)))
    return tuple(parts)


def is_audible(clip: Path) -> bool:
    """Whether a clip has a sound track with something to hear.

    A clip without, or with a silent one, is not an error: its pictures are what was sent. What
    is wrong with its pictures is told when they are read.
    """
    from omni.media.container import has_sound

    try:
        if not has_sound(clip):
            return False
        from omni.media.audio import check_audible, read_waveform

        check_audible(read_waveform(clip), clip.name)
    except MediaError:
        return False
    return True


VIDEO = TabSpec("video", _inputs, _parts)
