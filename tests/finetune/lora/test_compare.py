"""Rows asked before and after: what is told, what is written, and what listeners make of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.natural import outside
from finetune.lora import compare as comparing
from finetune.lora.asking import Found, Wanted
from finetune.lora.compare import Compared, compare
from finetune.lora.data.rows import read_rows
from omni.events import SPEECH_RATE
from omni.media.audio import read_sound
from omni.settings import EngineSettings, with_adapter
from tests.support.rows import spoken_row, text_row, tone, write_rows

BASE = EngineSettings(model="nano", device="cpu")
SAID = np.sin(np.arange(SPEECH_RATE) / 20).astype(np.float32) / 2


class AskedEngine:
    """Answers as the settings say that it was loaded with."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings

    def load(self, settings: EngineSettings) -> Iterator[None]:
        """Nothing is loaded."""
        self.settings = settings
        return iter(())


def answered(engine: AskedEngine, asked: Wanted, seed: int) -> Found:
    """Nonsense without the adapter, and nothing of it is spoken; with it all is right."""
    if not engine.settings.adapter:
        return Found("What?", False, np.zeros(0, np.float32))
    return Found(asked.text, True, SAID if asked.speech else np.zeros(0, np.float32))


@pytest.fixture
def compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compared:
    """Two rows, of which the second is spoken; its sounds are in ``sounds``."""
    monkeypatch.setattr(comparing, "Engine", AskedEngine)
    monkeypatch.setattr(comparing, "ask", answered)
    sound = tone(tmp_path / "one.wav").name
    data = [text_row("Which?", "This one."), spoken_row("Say it.", "It is here.", sound)]
    rows = read_rows(write_rows(tmp_path / "rows.jsonl", data)).rows
    voices = [tone(tmp_path / f"voice{pitch}.wav", pitch) for pitch in (120, 300)]
    after = with_adapter(BASE, "mine")
    return compare(rows, BASE, after, voices, sounds=tmp_path / "sounds")


def test_answers_are_told_and_spoken_ones_written(compared: Compared, tmp_path: Path) -> None:
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("sounds/*/*"))
    assert files == ["sounds/after/0002.wav"]  # by the number of the row
    written = read_sound(tmp_path / files[0], SPEECH_RATE).samples
    np.testing.assert_allclose(written, SAID, atol=1e-3)
    lines = list(compared.lines())
    assert "right answers: 0 of 2 before, 2 of 2 after" in lines
    assert "rows.jsonl:2  wanted: It is here." in lines


def test_listeners_from_outside_hear_the_spoken_answers(
    compared: Compared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps(asdict(compared)), encoding="utf-8")
    known: list[int] = []

    def nearest(wave: np.ndarray, others: list[np.ndarray], rate: int) -> int:
        known.append(len(others))
        return 0

    monkeypatch.setattr(outside, "heard_words", lambda wave, rate: "it is hear")
    monkeypatch.setattr(outside, "nearest_voice", nearest)
    voices = [tmp_path / "voice120.wav", tmp_path / "voice300.wav"]
    rows = {r.name: r.value for r in outside.answers_heard(answers, tmp_path / "sounds", voices)}
    assert known == [2]  # what was not spoken has no voice
    assert rows["before_nearest"] == 0 and rows["after_nearest"] == 1
    assert rows["before_word_error"] == 100 and rows["after_word_error"] == pytest.approx(33.3)
