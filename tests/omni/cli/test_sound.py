"""Where speech goes: formats by their endings, pipes, full disks."""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from omni.cli import sound as cli_sound
from omni.cli.inputs import clean, decoded
from omni.media.audio import read_sound
from tests.support.command_line import FakeEngine, run, samples

SAID = np.concatenate([np.full(100, 7, np.int16), np.full(50, -7, np.int16)])


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.flac", "FLAC"), ("a.MP3", "MP3"), ("a.opus", "OGG"), ("a.ogg", "OGG"), ("a", "WAV")],
)
def test_the_ending_names_the_format(engine: FakeEngine, name: str, kind: str) -> None:
    assert run(engine, "tts", "x", "--out", name) == 0
    info = soundfile.info(name)
    assert info.format in (kind, "MPEG") and info.samplerate == 24_000 and info.channels == 1
    if kind in ("FLAC", "WAV"):
        assert np.array_equal(soundfile.read(name, dtype="int16")[0], SAID)
    assert [path.name for path in Path().iterdir()] == [name], "nothing else is left"


def test_another_ending_is_refused_before_loading(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(engine, "tts", "x", "--out", "a.xyz") == 1
    assert engine.report is None
    assert "use .wav, .flac, .mp3, .opus" in capsys.readouterr().err


def test_standard_output(
    engine: FakeEngine, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    assert run(engine, "tts", "x", "--out", "-") == 0
    streams = capfdbinary.readouterr()
    assert streams.out[:4] == b"RIFF" and streams.out[44:] == SAID.astype("<i2").tobytes()
    assert "你好".encode() in streams.err, "the text makes room"
    (tmp_path / "streamed.wav").write_bytes(streams.out[:44] + bytes(range(256)) * 100)
    assert len(read_sound(tmp_path / "streamed.wav", rate=24_000).samples) == 12_800


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
@pytest.mark.parametrize("name", ["pipe", "pipe.flac"])
def test_a_named_pipe(engine: FakeEngine, name: str) -> None:
    os.mkfifo(name)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(Path(name).read_bytes()))
    reader.start()
    assert run(engine, "tts", "x", "--out", name) == 0
    reader.join()
    assert got[0][:4] in (b"RIFF", b"fLaC")
    assert len(got[0]) > 44


class FullDisk(cli_sound.WavWriter):
    """Has room for the first samples."""

    def write(self, samples: np.ndarray) -> None:
        if self.samples:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(samples)


@pytest.mark.parametrize("before", [False, True])
def test_a_full_disk_leaves_nothing_half(
    engine: FakeEngine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    before: bool,
) -> None:
    if before:
        assert run(engine, "tts", "x", "--out", "a.wav") == 0
    monkeypatch.setattr(cli_sound, "WavWriter", FullDisk)
    assert run(engine, "tts", "x", "--out", "a.wav") == 1
    said = capsys.readouterr().err
    assert "The disk is full: a.wav was not written." in said and "Traceback" not in said
    assert [path.name for path in Path().iterdir()] == (["a.wav"] if before else [])
    if before:
        assert np.array_equal(samples(Path("a.wav")), SAID), "what was there is whole"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("name", ["/dev/full"])
def test_a_device_that_is_full(
    engine: FakeEngine, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(engine, "tts", "x", "--out", name) == 1
    assert "The disk is full" in capsys.readouterr().err


def test_no_room_for_the_text(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.error = OSError(errno.ENOSPC, "No space left on device")
    assert run(engine, "asr", "a.wav") == 1
    assert "The disk is full: the output could not be written." in capsys.readouterr().err


def test_a_pipe_holds_one_answer(engine: FakeEngine) -> None:
    with pytest.raises(SystemExit):
        run(engine, "chat", "x", "--interactive", "--out", "-")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_text_from_any_editor(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    raw: Any = io.TextIOWrapper(io.BytesIO("你好, world".encode(encoding)), encoding="ascii")
    monkeypatch.setattr(sys, "stdin", raw)
    assert run(engine, "tts", "-", "--out", "a.wav") == 0
    assert engine.asked[0][0] == "你好, world"


def test_what_is_no_text_becomes_one() -> None:
    assert clean("\ufeffa\udcffb\ud800") == "a\ufffdb\ufffd"
    assert clean("😀") == "😀"
    decoded(b"\xff\xfe\xff").encode("utf-8")
    decoded(b"caf\xe9").encode("utf-8")
