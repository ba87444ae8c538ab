"""A question's files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image as Pillow

from omni.conversation import Audio, Image, Text, Video
from omni.dialogue.question import Question, write_question
from omni.errors import MediaError
from omni.listening.settings import RATE

SOUND = (np.arange(-800, 800, dtype=np.int16) * 40).astype(np.float32) / 32768


def jpeg(shade: int) -> bytes:
    data = io.BytesIO()
    Pillow.new("RGB", (64, 48), (shade, shade, shade)).save(data, "JPEG")
    return data.getvalue()


def test_a_spoken_question_is_the_sound_of_the_microphone(tmp_path: Path) -> None:
    (part,) = write_question(Question(SOUND), tmp_path.joinpath)
    assert isinstance(part, Audio)
    samples, rate = soundfile.read(part.path, dtype="int16")
    assert rate == RATE
    np.testing.assert_array_equal(samples, (SOUND * 32768).astype(np.int16))


def test_what_was_carried_and_shown_stands_before_the_sound(tmp_path: Path) -> None:
    carried = (Text("before"),)
    question = Question(SOUND, (jpeg(10), jpeg(90)), carried)
    before, clip, sound = write_question(question, tmp_path.joinpath)
    assert before == carried[0]
    assert isinstance(clip, Video)
    assert isinstance(sound, Audio)
    assert clip.path.stat().st_size > 0


def test_one_frame_is_a_still(tmp_path: Path) -> None:
    frame = jpeg(80)
    still, _ = write_question(Question(SOUND, (frame,)), tmp_path.joinpath)
    assert isinstance(still, Image)
    assert still.path.read_bytes() == frame


def test_a_clip_of_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError):
        write_question(Question(SOUND, (b"GIF89a", b"GIF89a")), tmp_path.joinpath)
