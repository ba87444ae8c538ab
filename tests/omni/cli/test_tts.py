"""``omni tts``: a text, or standard input, to a file."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from omni.conversation import VoicePrompt
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
