"""What a person said and showed in one turn.

Knows: its sound and frames, how they become files and a message's parts.
Does not know: when a turn is over, who answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from omni.conversation import Audio, Image, Part, Video
from omni.listening.settings import RATE
from omni.media.wav import write_wav

SOUND_NAME, STILL_NAME, CLIP_NAME = "question.wav", "camera.jpg", "camera.mp4"

NewFile: TypeAlias = Callable[[str], Path]  # a file's name -> where to put it


@dataclass(frozen=True, eq=False)
class Question:
    """``sound``: float32 (samples,) at RATE; ``frames``: JPEG, oldest first; ``carried``: parts of
    a question that was not answered yet, which this one goes on with.
    """

    sound: np.ndarray
    frames: tuple[bytes, ...] = ()
    carried: tuple[Part, ...] = ()


def write_question(question: Question, new_file: NewFile) -> tuple[Part, ...]:
    """Write the question's files, and give the parts of its message.

    Raises:
        MediaError: a frame is no picture.
    """
    sound = new_file(SOUND_NAME)
    write_wav(sound, question.sound, RATE)
    return (*question.carried, *_seen(question.frames, new_file), Audio(sound))


def _seen(frames: tuple[bytes, ...], new_file: NewFile) -> tuple[Part, ...]:
    if not frames:
        return ()
    if len(frames) == 1:
        still = new_file(STILL_NAME)
        still.write_bytes(frames[0])
        return (Image(still),)
    from omni.media.clip import write_clip

    clip = new_file(CLIP_NAME)
    write_clip(frames, clip)
    return (Video(clip),)
