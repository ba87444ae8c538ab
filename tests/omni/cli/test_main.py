"""The command line as a whole: usage, errors, exit codes, processes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from omni.cli import main as cli
from omni.engine import EngineSettings
from omni.errors import MediaError
from tests.support.checkpoints import write_checkpoint
from tests.support.command_line import FakeEngine, run, samples
from tests.support.root import ROOT


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sing"],
        ["chat"],
        ["chat", "  "],
        ["asr"],
        ["tts", "x"],
        ["chat", "x", "--quantization", "2bit"],
        ["chat", "x", "--seed", "y"],
        ["chat", "x", "--voice-text", "y"],
    ],
)
def test_wrong_usage(
    engine: FakeEngine, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(engine, *arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err
    assert engine.report is None, "nothing is loaded for that"


def test_an_error_is_its_sentence(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.error = MediaError("broken", "The file {name} is broken.", name="a.png")
    assert run(engine, "chat", "hi") == 1
    streams = capsys.readouterr()
    assert streams.err.rstrip().endswith("The file a.png is broken.")
    assert "Traceback" not in streams.err
    assert len(samples(Path("answer.wav"))) == 100, "what there was can be heard"


def test_ctrl_c(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.error = KeyboardInterrupt()
    assert run(engine, "chat", "hi") == 130
    assert "Traceback" not in capsys.readouterr().err
    assert len(samples(Path("answer.wav"))) == 100


def test_settings_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[EngineSettings] = []

    def make(settings: EngineSettings) -> FakeEngine:
        made.append(settings)
        return FakeEngine()

    monkeypatch.setattr("omni.cli.flags.Engine", make)
    flags = shlex.split("--model a/b --quantization 4bit --device cuda:1 --dtype float16")
    assert cli.main(["chat", "hi", *flags]) == 0
    assert cli.main(["asr", "a.wav"]) == 0
    assert made == [EngineSettings("a/b", "4bit", "cuda:1", "float16"), EngineSettings()]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "omni", *arguments]


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that speaks until it is stopped."""
    return write_checkpoint(tmp_path_factory.mktemp("endless"))


def environment() -> dict[str, str]:
    root = str(ROOT)
    return os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT cannot be sent there")
def test_ctrl_c_of_a_process_leaves_a_valid_file(endless: Path, here: Path) -> None:
    arguments = command("tts", "one two three, " * 200, "--out", "t.wav", "--model", str(endless))
    # A shell that starts the tests in the background lets them, and what they start, ignore it.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            arguments, cwd=here, env=environment(), stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, ours)
    deadline = time.monotonic() + 120
    path = here / "t.wav"
    while not (path.exists() and path.stat().st_size > 20_000):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert len(samples(path)) * 2 == path.stat().st_size - 44


def test_an_error_of_a_process(here: Path) -> None:
    done = subprocess.run(
        command("asr", "missing.wav", "--model", "/no/such/folder"),
        cwd=here,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert "/no/such/folder is not a folder" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("started", ["/usr/bin/omni", "C:/Scripts/omni.exe", "x/omni/__main__.py"])
def test_help_tells_how_the_program_was_started(
    started: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    program = "python -m omni" if started.endswith(".py") else "omni"
    assert cli.parser().format_usage().startswith(f"usage: {program} ")
