"""``omni asr`` with several files, some of which fail, and files that are none."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omni.errors import MediaError
from omni.events import EngineEvent
from omni.media.wav import write_wav
from omni.options import GenerationOptions
from tests.support.command_line import FakeEngine, run
from tests.support.root import ROOT


class PickyEngine(FakeEngine):
    """Reads what it is given, and cannot use what is called ``bad``."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[bytes] = []

    def transcribe(
        self, path: Path, *, options: GenerationOptions | None = None, **others: Any
    ) -> Iterator[EngineEvent]:
        if "bad" in path.name:
            raise MediaError("broken", "{name} is broken.", name=path.name)
        if path.exists():
            self.read.append(path.read_bytes())
        return super().transcribe(path, options=options, **others)


def test_a_batch_goes_on_after_a_bad_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PickyEngine(), "asr", "a.wav", "bad.wav", "c.wav", "bad2.wav") == 3
    streams = capsys.readouterr()
    assert streams.out == "a.wav: hello 你好\nc.wav: hello 你好\n"
    assert "bad.wav: bad.wav is broken." in streams.err
    assert streams.err.rstrip().endswith("2 of 4 files failed: bad.wav, bad2.wav")
    assert "Traceback" not in streams.err


def test_a_single_bad_file_is_an_error_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(PickyEngine(), "asr", "bad.wav") == 1
    assert capsys.readouterr().err.rstrip().endswith("bad.wav is broken.")


def test_a_folder_stands_for_its_recordings(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("b.WAV", "a.mp3", "notes.txt", "below/c.flac"):
        (here / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (here / "in" / name).write_bytes(b"x")
    assert run(PickyEngine(), "asr", "in") == 0
    names = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert [Path(name).name for name in names] == ["a.mp3", "b.WAV", "c.flac"]
    (here / "empty").mkdir()
    assert run(FakeEngine(), "asr", "empty") == 1
    assert "no sound or clip" in capsys.readouterr().err


def test_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = PickyEngine()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"sound")))
    assert run(engine, "asr", "-") == 0
    assert capsys.readouterr().out == "hello 你好\n"
    assert engine.read == [b"sound"]
    assert not engine.asked[0][0].exists(), "the copy is gone"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes there")
def test_a_named_pipe_and_a_command_in_place_of_a_file(here: Path) -> None:
    engine = PickyEngine()
    os.mkfifo(here / "pipe")
    writer = threading.Thread(target=(here / "pipe").write_bytes, args=[b"named"])
    writer.start()
    assert run(engine, "asr", "pipe") == 0
    writer.join()
    ours, theirs = os.pipe()
    os.write(theirs, b"in place")
    os.close(theirs)
    assert run(engine, "asr", f"/dev/fd/{ours}") == 0
    os.close(ours)
    assert engine.read == [b"named", b"in place"]


@pytest.mark.skipif(sys.platform == "win32", reason="names are Unicode there")
@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_any_name_in_any_code_page(here: Path, encoding: str) -> None:
    odd = b"caf\xe9 \xff \xe4\xbd\xa0.wav"
    program = (
        "import sys; from tests.support.command_line import FakeEngine, run; "
        "sys.exit(run(FakeEngine(), 'asr', *sys.argv[1:]))"
    )
    write_wav(here / "b.wav", np.zeros(100, np.int16))
    done = subprocess.run(
        [sys.executable, "-c", program, odd, b"b.wav"],
        cwd=here,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2 and b"hello" in done.stdout
    assert b"Traceback" not in done.stderr
