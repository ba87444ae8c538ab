"""``omni chat``: flags and lines become messages, answers are numbered files."""

from __future__ import annotations

import io
import shlex
import sys
from pathlib import Path

import pytest

from omni.conversation import Audio, Image, Message, Text, Video, VoicePrompt
from omni.options import GenerationOptions
from tests.support.command_line import FakeEngine, run, samples


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
