"""The programs that look for where natural speech is lost, with toys in the place of models."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks import natural_probe, natural_trip
from benchmarks.listeners import train_syllables
from benchmarks.natural_probe import Heard
from finetune.nano.teachers.speaking import Speaker

RATE = 24_000


class ToyTrip:
    """Codes lose half of a waveform's level, the vocoder a fifth."""

    def codes(self, wave: np.ndarray) -> Tensor:
        return torch.from_numpy(wave) * 0.5

    def true_mel(self, wave: np.ndarray) -> Tensor:
        return torch.from_numpy(wave)

    def mel(self, codes: Tensor) -> Tensor:
        return codes

    def mean_mel(self, codes: Tensor) -> Tensor:
        return codes

    def vocoded(self, mel: Tensor) -> np.ndarray:
        return (mel * 0.8).numpy()


def test_each_way_is_beside_what_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(natural_trip, "spoken", lambda *said: np.full(RATE, 0.5, np.float32))
    monkeypatch.setattr(natural_trip, "heard_words", lambda wave, rate: "")
    monkeypatch.setattr(natural_trip, "opinion", lambda wave, rate: float(wave[len(wave) // 2]))
    monkeypatch.setattr(natural_trip, "voice_of", lambda wave, rate: np.ones(1))
    speaker = Speaker("hibari", (("af_heart", 1.0),))
    found = natural_trip.measure(ToyTrip(), 2, [speaker])  # type: ignore[arg-type]
    rows = {row.name.removeprefix(f"{speaker.name}."): row.value for row in found}
    assert len(rows) == 3 * len(natural_trip.WAYS)
    opinions = [rows[f"{way}.opinion"] for way in natural_trip.WAYS]
    assert opinions == pytest.approx([0.5, 0.4, 0.2, 0.2], abs=0.01)
    assert rows["said.wer_percent"] == 100 and rows["codes.voice_alike"] == 1


def test_a_reader_learns_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(natural_probe, "STEPS", 120)
    draw = torch.Generator().manual_seed(0)

    def heard() -> Heard:
        said = torch.randint(1, 4, (5,), generator=draw)
        frames = torch.nn.functional.one_hot(said, 4).float().repeat_interleave(3, 0)
        nothing = torch.zeros_like(frames)
        return Heard({"encoder": frames, "mel": nothing}, said)

    known, tested = [heard() for _ in range(60)], [heard() for _ in range(10)]
    errors = {
        way: natural_probe.wrong(natural_probe.learn(way, known, 4), way, tested)
        for way in ("encoder", "mel")
    }
    assert errors["encoder"] < 35 < 60 < errors["mel"]


def test_the_syllable_listeners_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [
        SimpleNamespace(text="x" * size, wave=np.zeros(RATE, np.float32)) for size in (1, 2, 99)
    ]
    (tmp_path / "zh-mixed-00000.jsonl").touch()
    monkeypatch.setattr(train_syllables, "read_shard", lambda path: iter(said))
    monkeypatch.setattr(train_syllables, "encoded", lambda text: [1] * len(text))
    pool = train_syllables.Pool(tmp_path)
    assert [len(target) for target in pool.targets] == [1, 2]  # 99 do not fit into a second
    mels, lengths, targets, sizes = pool.batch(0, 2)
    assert mels.shape[0] == 2 and lengths.tolist() == [len(row) for row in mels]
    assert int(sizes.sum()) == len(targets)
    again = pool.batch(0, 2)
    assert all(
        torch.equal(a, b) for a, b in zip(again, (mels, lengths, targets, sizes), strict=True)
    )
    with pytest.raises(FileNotFoundError, match="no Mandarin"):
        train_syllables.Pool(tmp_path / "nowhere")
