"""The Video tab: a clip with or without its sound, a spoken question, and text.

Knows: its inputs. Does not know: everything that the tabs share (demos.tabs.tab).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Event

import gradio as gr
from gradio.components import Component

from demos.base.languages import Words
from demos.tabs.image import spoken_question
from demos.tabs.spec import Chip, Keep, Media, TabSpec
from omni.conversation import Audio, Part, Video
from omni.errors import MediaError

NOTHING_HEARD = ("audio-silent", "audio-too-short", "audio-absent")  # codes of MediaError


def _inputs(words: Words) -> Mapping[str, Component]:
    return {
        "clip": gr.Video(
            label=words.static("clip"),
            sources=["upload", "webcam"],
            include_audio=True,
            webcam_options=gr.WebcamOptions(mirror=False),
            buttons=[],
            elem_id="video-clip",
            elem_classes=["takes-video"],
        ),
        "with_sound": gr.Checkbox(
            True, label=words.static("clip-sound"), container=False, elem_id="video-clip-sound"
        ),
        "question": spoken_question("video", words),
    }


def _parts(media: Media, keep: Keep, stop: Event) -> tuple[Part, ...]:
    parts: list[Part] = []
    if media["clip"]:
        path = keep(media["clip"], "clip")
        parts.append(Video(path))
        if media["with_sound"] and has_sound_to_hear(path, stop):
            parts.append(Audio(path))
    if media["question"]:
        parts.append(Audio(keep(media["question"], "sound")))
    return tuple(parts)


def has_sound_to_hear(clip: Path, stop: Event | None = None) -> bool:
    """Whether a clip has a sound track that is to be heard; one that cannot be read is.

    A clip without, or with a silent one, is not an error: its pictures are what was sent. Of one
    that cannot be read the engine says so (:class:`omni.events.MediaNote`), and what is wrong with
    the pictures is told when they are read.

    Raises:
        DecodingStopped: ``stop`` was set.
    """
    from omni.media.container import has_sound

    try:
        if not has_sound(clip):
            return False
    except MediaError:
        return False
    return _heard(clip, unreadable=True, stop=stop)


def is_audible(sound: Path) -> bool:
    """Whether a sound file can be read and has something to hear."""
    return _heard(sound, unreadable=False, stop=None)


def _heard(file: Path, unreadable: bool, stop: Event | None) -> bool:
    from omni.media.audio import check_audible, read_sound

    try:
        check_audible(read_sound(file, stop=stop).samples, file.name)
    except MediaError as error:
        return unreadable and error.code not in NOTHING_HEARD
    return True


VIDEO = TabSpec(
    "video",
    _inputs,
    _parts,
    chips=(Chip("summarize-clip"), Chip("what-changed"), Chip("describe-clip")),
    examples="video",
    camera=True,
    live="camera",
)
