"""Data files of rows for tests of fine-tuning, and a small checkpoint to train on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from omni.media.wav import write_wav

RATE = 16_000  # Hz


def tone(path: Path, pitch: float = 200.0, seconds: float = 0.8) -> Path:
    """A buzz with a beat, which an encoder hears as something."""
    times = np.arange(int(seconds * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * pitch * n * times) / n for n in range(1, 8))
    beat = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * times)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, (0.1 * wave * beat).astype(np.float32), RATE)
    return path


def text_row(question: str, answer: str) -> dict[str, Any]:
    """A written exchange."""
    messages = [
        {"role": "system", "content": ""},
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    ]
    return {"messages": messages}


def spoken_row(question: str, answer: str, sound: str) -> dict[str, Any]:
    """An exchange with a spoken answer."""
    return text_row(question, f"{answer}<audio>") | {"audios": [sound]}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A data file."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def mixed_rows(folder: Path, count: int = 8) -> Path:
    """Rows of every kind: written, spoken, about a picture, a transcription."""
    rows: list[dict[str, Any]] = []
    for number in range(count):
        sound = tone(folder / f"{number}.wav", 150 + 20 * number, 0.5 + 0.1 * number).name
        answer = f"Number {number}."
        kind = number % 4
        if kind == 0:
            rows.append(text_row(f"Which is {number}?", answer))
        elif kind == 1:
            rows.append(spoken_row(f"Say {number}.", answer, sound))
        elif kind == 2:
            Image.new("RGB", (56, 56), (30 * number, 90, 200)).save(folder / f"{number}.png")
            rows.append(text_row("<image>What is it?", answer) | {"images": [f"{number}.png"]})
        else:
            row = text_row("<audio>", answer) | {"audios": [sound], "form": "transcription"}
            rows.append(row)
    return write_rows(folder / "rows.jsonl", rows)
