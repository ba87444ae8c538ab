"""``omni asr``: one transcript or several."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import FakeEngine, run


def test_asr(engine: FakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(engine, "asr", "a.wav") == 0
    assert capsys.readouterr().out == "hello 你好\n"
    assert run(engine, "asr", "a.wav", "b.wav") == 0
    assert capsys.readouterr().out == "a.wav: hello 你好\nb.wav: hello 你好\n"
    assert [asked[0] for asked in engine.asked] == [Path("a.wav"), Path("a.wav"), Path("b.wav")]
    assert engine.asked[0][1].text_only.greedy
