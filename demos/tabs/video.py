"""The Video tab: a clip with or without its sound, a spoken question, and text.

Knows: its inputs. Does not know: everything that the tabs share (demos.tabs.tab).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gradio as gr
from gradio.components import Component

from demos.base.languages import Words
from demos.tabs.image import spoken_question
from demos.tabs.spec import Chip, Keep, Media, TabSpec
from omni.conversation import Audio, Part, Video
from omni.errors import MediaError


def _inputs(words: Words) -> Mapping[str, Component]:
    return {
        "clip": gr.Video(
            label=words.static("clip"),
            sources=["upload", "webcam"],
            include_audio=True,
            webcam_options=gr.WebcamOptions(mirror=False),
            buttons=[],
            elem_id="video-clip",
        ),
        "with_sound": gr.Checkbox(
            True, label=words.static("clip-sound"), container=False, elem_id="video-clip-sound"
        ),
        "question": spoken_question("video", words),
    }


def _parts(media: Media, keep: Keep) -> tuple[Part, ...]:
    parts: list[Part] = []
    if media["clip"]:
        path = keep(media["clip"])
        parts.append(Video(path))
        if media["with_sound"] and is_audible(path):
            parts.append(Audio(path))
    if media["question"]:
        parts.append(Audio(keep(media["question"])))
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


VIDEO = TabSpec(
    "video",
    _inputs,
    _parts,
    chips=(Chip("summarize-clip"), Chip("what-changed"), Chip("describe-clip")),
    examples="video",
    live="camera",
)
