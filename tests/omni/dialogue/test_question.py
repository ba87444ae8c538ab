"""A question's files."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image as Pillow

from omni.conversation import Audio, Image, Text, Video
from omni.dialogue.question import NewFile, Question, write_question
from omni.errors import MediaError
from omni.listening.settings import RATE
from omni.media.limits import DecodingStopped

SOUND = (np.arange(-800, 800, dtype=np.int16) * 40).astype(np.float32) / 32768


def jpeg(shade: int) -> bytes:
    data = io.BytesIO()
    Pillow.new("RGB", (64, 48), (shade, shade, shade)).save(data, "JPEG")
    return data.getvalue()


def in_folder(folder: Path) -> NewFile:
    return lambda name, size: folder / name


def test_a_spoken_question_is_the_sound_of_the_microphone(tmp_path: Path) -> None:
    (part,) = write_question(Question(SOUND), in_folder(tmp_path))
    assert isinstance(part, Audio)
    samples, rate = soundfile.read(part.path, dtype="int16")
    assert rate == RATE
    np.testing.assert_array_equal(samples, (SOUND * 32768).astype(np.int16))


def test_what_was_carried_and_shown_stands_before_the_sound(tmp_path: Path) -> None:
    carried = (Text("before"),)
    question = Question(SOUND, (jpeg(10), jpeg(90)), carried)
    before, clip, sound = write_question(question, in_folder(tmp_path))
    assert before == carried[0]
    assert isinstance(clip, Video)
    assert isinstance(sound, Audio)
    assert clip.path.stat().st_size > 0


def test_one_frame_is_a_still(tmp_path: Path) -> None:
    frame = jpeg(80)
    still, _ = write_question(Question(SOUND, (frame,)), in_folder(tmp_path))
    assert isinstance(still, Image)
    assert still.path.read_bytes() == frame


def test_a_clip_of_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError):
        write_question(Question(SOUND, (b"GIF89a", b"GIF89a")), in_folder(tmp_path))


def test_writing_a_clip_can_be_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    frames = tuple(jpeg(shade) for shade in (10, 200))
    with pytest.raises(DecodingStopped):
        write_question(Question(SOUND, frames), in_folder(tmp_path), stop)


def test_how_large_the_files_become_is_told_before(tmp_path: Path) -> None:
    asked: dict[str, int] = {}

    def new_file(name: str, size: int) -> Path:
        asked[name] = size
        return tmp_path / name

    frame = jpeg(10)
    write_question(Question(SOUND, (frame, frame)), new_file)
    assert asked == {"question.wav": 2 * SOUND.size, "camera.mp4": 2 * len(frame)}
