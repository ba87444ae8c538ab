"""What every command writes, and where."""

from __future__ import annotations

import pytest

from omni.events import MediaNote
from tests.support.command_line import FakeEngine, run


@pytest.mark.parametrize("out", ["no/such/folder/a.wav", "."])
def test_a_place_that_cannot_be_written(
    engine: FakeEngine, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(engine, "chat", "hi", "--out", out) == 1
    assert engine.report is None, "found out before loading"
    assert "Traceback" not in capsys.readouterr().err


def test_random_weights_are_admitted(capsys: pytest.CaptureFixture[str]) -> None:
    run(FakeEngine(trained=False), "chat", "hi")
    assert "random weights" in capsys.readouterr().err
    run(FakeEngine(trained=True), "chat", "hi")
    assert "random weights" not in capsys.readouterr().err


def test_what_was_noticed_of_files_is_on_stderr(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.notes = MediaNote("damaged", "a.mp3"), MediaNote("unheard", "v.mp4")
    run(engine, "chat", "hi")
    streams = capsys.readouterr()
    assert "A part of a.mp3 was damaged and could not be heard.\n" in streams.err
    assert "The sound of v.mp4 could not be read" in streams.err
    assert "damaged" not in streams.out


def test_progress_is_drawn_on_stderr(
    engine: FakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    run(engine, "chat", "hi")
    streams = capsys.readouterr()
    assert all(word in streams.err for word in ("Downloading", "Reading weights", "Listening"))
    assert "%" not in streams.out
