"""``omni tts``: a text, or standard input, to a file."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from omni.conversation import VoicePrompt
from omni.listening.gallery import ready_voices
from tests.support.command_line import FakeEngine, run, samples


def test_tts(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(engine, "tts", "say this", "--out", "t.wav", "--voice", "v.wav") == 0
    assert engine.asked[0][:2] == ("say this", VoicePrompt(Path("v.wav")))
    assert len(samples(Path("t.wav"))) == 150
    monkeypatch.setattr(sys, "stdin", io.StringIO("from a pipe"))
    assert run(engine, "tts", "-", "--out", "t.wav") == 0
    assert engine.asked[1][0] == "from a pipe"
    assert engine.asked[1][3] == ""
    assert run(engine, "tts", "so", "--out", "t.wav", "--system", "Speak slowly.") == 0
    assert engine.asked[2][3] == "Speak slowly."


def test_a_ready_voice_by_its_name(engine: FakeEngine) -> None:
    assert run(engine, "tts", "say this", "--out", "t.wav", "--voice", "anna") == 0
    voice = engine.asked[0][1]
    assert isinstance(voice, VoicePrompt)
    assert voice.path == ready_voices()["Anna"].path
    with pytest.raises(SystemExit):
        run(engine, "tts", "so", "--out", "t.wav", "--voice", "Anna", "--voice-text", "Hello.")


def test_a_script_in_several_voices(engine: FakeEngine) -> None:
    text = "Anna: Hello!\nMe: Hi.\n小美：你好。"
    given = ["tts", text, "--out", "t.wav", "--script", "--speaker", "Me=me.wav"]
    assert run(engine, *given, "--system", "Speak slowly.") == 0
    lines = engine.lines[0]
    assert [(line.name, line.text) for line in lines] == [
        ("Anna", "Hello!"),
        ("Me", "Hi."),
        ("小美", "你好。"),
    ]
    assert lines[1].voice == VoicePrompt(Path("me.wav"))
    assert {line.manner for line in lines} == {"Speak slowly."}


def test_a_script_says_which_voices_there_are(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(engine, "tts", "Bob: Hello!", "--out", "t.wav", "--script") == 1
    assert "no voice called Bob. The voices here are: Anna" in capsys.readouterr().err
    for wrong in (["--speaker", "Me=me.wav"], ["--script", "--speaker", "me.wav"]):
        with pytest.raises(SystemExit):
            run(engine, "tts", "Anna: so", "--out", "t.wav", *wrong)
