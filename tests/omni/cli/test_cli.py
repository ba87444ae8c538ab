"""The command line: streams, files, exit codes."""

from __future__ import annotations

import io
import os
import shlex
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omni.cli import main as cli
from omni.conversation import Audio, Image, Message, Text, Video, VoicePrompt
from omni.engine import EngineSettings, LoadReport
from omni.errors import MediaError
from omni.events import (
    SPEECH_RATE,
    EngineEvent,
    Progress,
    SpeechChunk,
    TextDelta,
    TurnEnd,
    TurnStats,
)
from omni.options import GenerationOptions
from omni.requests import (
    ReadAloudRequest,
    Request,
    RequestMethods,
    TranscribeRequest,
    TurnRequest,
)
from tests.support.checkpoints import write_checkpoint
from tests.support.root import ROOT

STATS = TurnStats(prompt_tokens=9, text_tokens=2, text_s=0.5, total_s=1, speech_s=2, seed=3)


class FakeEngine(RequestMethods):
    """Remembers what it was asked for; answers a few words and two chunks of sound."""

    default_options = GenerationOptions(max_rounds=5)

    def __init__(self, trained: bool = True) -> None:
        self.report: LoadReport | None = None
        self.trained = trained
        self.asked: list[tuple[Any, ...]] = []
        self.error: BaseException | None = None

    def load(self) -> Iterator[Progress]:
        yield Progress("download", 5, 10, "bytes")
        yield Progress("load", 1, 2)
        self.report = LoadReport("nano", 1, "float32", "", "cpu", "none", 0, 0, self.trained)

    def answer(self, spoken: bool) -> Iterator[EngineEvent]:
        yield Progress("encode", 0, 1)
        yield TextDelta("hello")
        if spoken:
            yield SpeechChunk(np.full(100, 7, np.int16))
        if self.error is not None:
            raise self.error
        yield TextDelta(" 你好")
        if spoken:
            yield SpeechChunk(np.full(50, -7, np.int16))
        yield TurnEnd(Message("assistant", (Text("hello 你好"),), spoken), "end", STATS)

    def run(self, request: Request) -> Iterator[EngineEvent]:
        if isinstance(request, TurnRequest):
            assert isinstance(request.options, GenerationOptions)
            self.asked.append((request.conversation, request.options))
            return self.answer(request.options.speech)
        if isinstance(request, TranscribeRequest):
            self.asked.append((request.path, request.options))
            return self.answer(False)
        assert isinstance(request, ReadAloudRequest)
        self.asked.append((request.text, request.voice, request.options))
        return self.answer(True)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(engine: FakeEngine, *arguments: str) -> int:
    return cli.main(list(arguments), engine)  # type: ignore[arg-type]


def samples(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (
            1,
            2,
            SPEECH_RATE,
        )
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_chat(engine: FakeEngine, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(engine, "chat", "hi there", "--out", "a.wav", "--seed", "8") == 0
    streams = capsys.readouterr()
    assert streams.out == "hello 你好\n", "the answer alone, on stdout"
    assert "9 prompt tokens" in streams.err and "2.00 s of speech in a.wav" in streams.err
    assert "seed 3" in streams.err and "4.0/s" in streams.err
    ((conversation, options),) = engine.asked
    assert conversation.messages == (Message("user", (Text("hi there"),)),)
    assert options == GenerationOptions(max_rounds=5, seed=8)
    assert list(samples(here / "a.wav")) == [7] * 100 + [-7] * 50


def test_chat_with_everything(engine: FakeEngine) -> None:
    flags = shlex.split(
        "--audio a.wav --image b.png --image c.png --video d.mp4 --voice v.wav --system 'Be kind.'"
    )
    assert run(engine, "chat", *flags, "--language", "zh", "--text-only", "go") == 0
    ((conversation, options),) = engine.asked
    parts = (Image(Path("b.png")), Image(Path("c.png")), Video(Path("d.mp4")))
    assert conversation.messages[0].parts == (*parts, Audio(Path("a.wav")), Text("go"))
    assert conversation.system.text == "Be kind."
    assert conversation.system.voice == VoicePrompt(Path("v.wav"))
    assert conversation.language == "zh" and not options.speech
    assert not Path("answer.wav").exists()


def test_chat_without_text(engine: FakeEngine) -> None:
    assert run(engine, "chat", "--audio", "a.wav") == 0
    assert engine.asked[0][0].messages[0].parts == (Audio(Path("a.wav")),)
    assert Path("answer.wav").is_file()


def test_a_voice_with_its_words(engine: FakeEngine) -> None:
    run(engine, "chat", "hi", "--voice", "v.wav", "--voice-text", "my words")
    voice = engine.asked[0][0].system.voice
    assert voice == VoicePrompt(Path("v.wav"), "example", "my words")


def test_interactive(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("second\n\nthird\n"))
    assert run(engine, "chat", "first", "--interactive", "--out", "a.wav") == 0
    conversations = [asked[0] for asked in engine.asked]
    assert [len(conversation.messages) for conversation in conversations] == [1, 3, 5]
    assert conversations[2].messages[1].role == "assistant"
    assert conversations[2].messages[4].parts == (Text("third"),)
    assert sorted(path.name for path in Path().glob("*.wav")) == ["a-2.wav", "a-3.wav", "a.wav"]
    assert capsys.readouterr().out == "hello 你好\n" * 3


def test_asr(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(engine, "asr", "a.wav") == 0
    assert capsys.readouterr().out == "hello 你好\n"
    assert run(engine, "asr", "a.wav", "b.wav") == 0
    assert capsys.readouterr().out == "a.wav: hello 你好\nb.wav: hello 你好\n"
    assert [asked[0] for asked in engine.asked] == [Path("a.wav"), Path("a.wav"), Path("b.wav")]
    assert engine.asked[0][1].text_only.greedy


def test_tts(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(engine, "tts", "say this", "--out", "t.wav", "--voice", "v.wav") == 0
    assert engine.asked[0][:2] == ("say this", VoicePrompt(Path("v.wav")))
    assert len(samples(Path("t.wav"))) == 150
    monkeypatch.setattr(sys, "stdin", io.StringIO("from a pipe"))
    assert run(engine, "tts", "-", "--out", "t.wav") == 0
    assert engine.asked[1][0] == "from a pipe"


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


@pytest.mark.parametrize("out", ["no/such/folder/a.wav", "."])
def test_a_place_that_cannot_be_written(
    engine: FakeEngine, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(engine, "chat", "hi", "--out", out) == 1
    assert engine.report is None, "found out before loading"
    assert "Traceback" not in capsys.readouterr().err


def test_ctrl_c(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.error = KeyboardInterrupt()
    assert run(engine, "chat", "hi") == 130
    assert "Traceback" not in capsys.readouterr().err
    assert len(samples(Path("answer.wav"))) == 100


def test_random_weights_are_admitted(capsys: pytest.CaptureFixture[str]) -> None:
    run(FakeEngine(trained=False), "chat", "hi")
    assert "random weights" in capsys.readouterr().err
    run(FakeEngine(trained=True), "chat", "hi")
    assert "random weights" not in capsys.readouterr().err


def test_progress_is_drawn_on_stderr(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    run(engine, "chat", "hi")
    streams = capsys.readouterr()
    assert all(word in streams.err for word in ("downloading", "loading", "reading media"))
    assert "%" not in streams.out


def test_settings_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[EngineSettings] = []

    def make(settings: EngineSettings) -> FakeEngine:
        made.append(settings)
        return FakeEngine()

    monkeypatch.setattr(cli, "Engine", make)
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
