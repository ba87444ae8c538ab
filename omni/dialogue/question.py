"""What a person said and showed in one turn.

Knows: its sound and frames, how they become files and a message's parts.
Does not know: when a turn is over, who answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TypeAlias

import numpy as np

from omni.conversation import Audio, Image, Part, Video
from omni.listening.settings import RATE
from omni.media.wav import write_wav

SAMPLE_BYTES = 2  # of 16 bits
SOUND_NAME, STILL_NAME, CLIP_NAME = "question.wav", "camera.jpg", "camera.mp4"

# A file's name and about how many bytes it will have -> where to put it.
NewFile: TypeAlias = Callable[[str, int], Path]


@dataclass(frozen=True, eq=False)
class Question:
    """``sound``: float32 (samples,) at RATE; ``frames``: JPEG, oldest first; ``carried``: parts of
    a question that was not answered yet, which this one goes on with.
    """

    sound: np.ndarray
    frames: tuple[bytes, ...] = ()
    carried: tuple[Part, ...] = ()


def write_question(
    question: Question, new_file: NewFile, stop: Event | None = None
) -> tuple[Part, ...]:
    """Write the question's files, and give the parts of its message.

    Args:
        stop: when set, the work ends.

    Raises:
        MediaError: a frame is no picture.
        DecodingStopped: ``stop`` was set.
    """
    sound = new_file(SOUND_NAME, SAMPLE_BYTES * question.sound.size)
    write_wav(sound, question.sound, RATE)
    return (*question.carried, *_seen(question.frames, new_file, stop), Audio(sound))


def _seen(frames: tuple[bytes, ...], new_file: NewFile, stop: Event | None) -> tuple[Part, ...]:
    if not frames:
        return ()
    if len(frames) == 1:
        still = new_file(STILL_NAME, len(frames[0]))
        still.write_bytes(frames[0])
        return (Image(still),)
    from omni.media.clip import write_clip

    clip = new_file(CLIP_NAME, sum(map(len, frames)))
    write_clip(frames, clip, stop)
    return (Video(clip),)
