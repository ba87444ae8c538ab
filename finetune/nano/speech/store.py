"""Features of many utterances, synthesized once and kept: what the stages of sound learn from.

Knows: shards on disk, drawing batches and crops from them by the number of the step.
Does not know: models, losses.

``python -m finetune.nano.speech.store --out DIR --count N`` fills a folder; shards that are there
are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

from finetune.nano.domain.splits import SPLITS, Split, stable_hash
from finetune.nano.domain.width import DomainWidth
from finetune.nano.speech import mel as spoken_mel
from finetune.nano.speech.augment import Recording, draw_recording, record
from finetune.nano.speech.f0 import f0_track
from finetune.nano.speech.synthesis import HEARD_RATE, SPOKEN_RATE, Sound, sounds, speak
from finetune.nano.speech.texts import utterance
from finetune.nano.speech.timing import frame_phonemes
from omni.config import AudioConfig
from omni.media.mel import log_mel as heard_log_mel

FRAME_S = spoken_mel.HOP / spoken_mel.RATE  # of the mels and of the phonemes
SHARD = 128  # utterances of a file
_KINDS = ("wave", "pitch", "heard", "phonemes")
Row = dict[str, np.ndarray]
CLEAN_SHARE = 0.5  # of the utterances that are heard without noise


@dataclass(frozen=True)
class ShardPlan:
    """What a shard holds: a function of this alone."""

    number: int
    split: Split
    width: DomainWidth
    seed: int

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.split}-{self.width}-{self.seed}-{self.number:05d}.safetensors"


def write_shard(plan: ShardPlan, folder: Path, config: AudioConfig) -> Path:
    """Synthesize a shard's utterances, unless the file is there."""
    path = folder / plan.name
    if path.exists():
        return path
    torch.set_num_threads(1)  # one process a core
    rows = []
    for index in range(plan.number * SHARD, (plan.number + 1) * SHARD):
        said = utterance(index, plan.seed, plan.split, plan.width)
        heard = speak(said, HEARD_RATE)
        if stable_hash("clean", index) / 2**64 >= CLEAN_SHARE:
            recording = draw_recording(stable_hash("recording", index) % 2**32)
            heard = record(heard, unmoved(recording))
        rows.append(features(speak(said, SPOKEN_RATE), heard, sounds(said), config))
    save(rows, path)
    return path


def features(
    said: np.ndarray, heard: np.ndarray, phonemes: Sequence[Sound], config: AudioConfig
) -> Row:
    """What the stages of sound learn from in an utterance, by the kinds of a shard.

    Args:
        said: float32 (samples,) at SPOKEN_RATE.
        heard: float32 (samples,) at HEARD_RATE.
    """
    wave = said[: len(said) // spoken_mel.HOP * spoken_mel.HOP]
    return {
        "wave": (wave * 32767).astype(np.int16),
        "pitch": f0_track(wave).astype(np.float16),
        "heard": heard_log_mel(torch.from_numpy(heard), config).T.to(torch.float16).numpy(),
        "phonemes": frame_phonemes(phonemes, len(wave) // spoken_mel.HOP, FRAME_S),
    }


def save(rows: Sequence[Row], path: Path) -> None:
    """Write a shard of utterances, whole or not at all."""
    tensors: Row = {}
    for name in _KINDS:
        parts = [row[name] for row in rows]
        # safetensors writes memory as it lies, whatever its strides
        tensors[name] = np.ascontiguousarray(np.concatenate(parts))
        tensors[f"{name}_lengths"] = np.array([len(part) for part in parts], np.int64)
    draft = path.with_suffix(".draft")
    save_file(tensors, draft)
    draft.replace(path)


def unmoved(recording: Recording) -> Recording:
    """A recording that adds no silence: what is heard and what is said stay in step."""
    return replace(recording, lead_s=0.0, tail_s=0.0)


class Pairs(NamedTuple):
    """Utterances of a step, each a list: what is heard, and what is to be said in 20 ms frames.

    ``heard`` (128, frames at 100 a second); ``mels`` (frames, 80); ``phonemes`` int64 (frames,);
    ``pitches`` (frames,), Hz, 0 where there is none.
    """

    heard: list[Tensor]
    mels: list[Tensor]
    phonemes: list[Tensor]
    pitches: list[Tensor]


class UtteranceStore:
    """All utterances of the shards of a folder, in memory."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        """
        Raises:
            FileNotFoundError: there are no shards.
        """
        paths = sorted(folder.glob("*.safetensors"))
        if not paths:
            raise FileNotFoundError(
                f"no shards in {folder}: run python -m finetune.nano.speech.store first"
            )
        self.seed = seed
        self.waves: list[Tensor] = []
        self.pitches: list[Tensor] = []
        self.heard: list[Tensor] = []
        self.phonemes: list[Tensor] = []
        self._mels: dict[int, Tensor] = {}  # half precision: what was computed stays
        for path in paths:
            tensors = load_file(path)
            sides = (self.waves, self.pitches, self.heard, self.phonemes)
            for kept, name in zip(sides, _KINDS, strict=True):
                lengths = tensors[f"{name}_lengths"].tolist()
                kept.extend(torch.from_numpy(tensors[name]).split(lengths))

    def __len__(self) -> int:
        return len(self.pitches)

    def wave(self, index: int) -> Tensor:
        """float32 (samples,) at 24 kHz."""
        return self.waves[index].float() / 32767

    def mel(self, index: int) -> Tensor:
        """What the model should say: float32 (frames, 80)."""
        if index not in self._mels:
            self._mels[index] = spoken_mel.log_mel(self.wave(index)).half()
        return self._mels[index].float()

    def picks(self, step: int, count: int, purpose: str) -> list[int]:
        """The utterances of a step."""
        rng = np.random.default_rng(stable_hash(self.seed, purpose, step) % 2**63)
        return rng.integers(len(self), size=count).tolist()

    def pairs(self, step: int, count: int, device: torch.device) -> Pairs:
        """Whole utterances of a step."""
        picks = self.picks(step, count, "pairs")
        return Pairs(
            [self.heard[index].float().T.to(device) for index in picks],
            [self.mel(index).to(device) for index in picks],
            [self.phonemes[index].long().to(device) for index in picks],
            [self.pitches[index].float().to(device) for index in picks],
        )

    def mel_crops(
        self, step: int, count: int, frames: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Mels ``(count, frames, 80)`` and pitch in Hz ``(count, frames)`` of a step."""
        crops = [
            (self.mel(index)[start : start + frames], self.pitches[index][start : start + frames])
            for index, start in self._crops(step, count, frames, "mel")
        ]
        mels, pitches = (torch.stack(list(side)) for side in zip(*crops, strict=True))
        return mels.to(device), pitches.float().to(device)

    def wave_crops(
        self, step: int, count: int, frames: int, device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Waves ``(count, samples)`` with their mels and pitch, as :meth:`mel_crops` gives them."""
        waves, mels, pitches = [], [], []
        for index, start in self._crops(step, count, frames, "wave"):
            wave = self.wave(index)
            waves.append(wave[start * spoken_mel.HOP : (start + frames) * spoken_mel.HOP])
            mels.append(self.mel(index)[start : start + frames])
            pitches.append(self.pitches[index][start : start + frames].float())
        sides = (torch.stack(side).to(device) for side in (waves, mels, pitches))
        wave, mel, pitch = sides
        return wave, mel, pitch

    def _crops(self, step: int, count: int, frames: int, purpose: str) -> Iterator[tuple[int, int]]:
        """Utterances that are long enough, and where their crops begin."""
        rng = np.random.default_rng(stable_hash(self.seed, purpose, step) % 2**63)

        def endless() -> Iterator[tuple[int, int]]:
            while True:
                index = int(rng.integers(len(self)))
                spare = len(self.pitches[index]) - frames
                if spare >= 0:
                    yield index, int(rng.integers(spare + 1))

        return islice(endless(), count)


class DecodedStore(UtteranceStore):
    """The same utterances with the mels that the model decodes of their codes, for what comes last.

    Args:
        decoded: a file of :func:`write_decoded`.
    """

    def __init__(self, folder: Path, decoded: Path, seed: int = 0) -> None:
        super().__init__(folder, seed)
        tensors = load_file(decoded)
        mels = torch.from_numpy(tensors["mel"]).split(tensors["mel_lengths"].tolist())
        self._mels = dict(enumerate(mels))
        # A code covers four frames: the last few of an utterance are not decoded.
        self.pitches = [pitch[: len(mel)] for pitch, mel in zip(self.pitches, mels, strict=False)]


def write_decoded(mels: Iterable[Tensor], path: Path) -> None:
    """Keep decoded mels ``(frames, 80)``, in the order of the store."""
    rows = [mel.half().cpu().numpy() for mel in mels]
    lengths = np.array([len(row) for row in rows], np.int64)
    save_file({"mel": np.concatenate(rows), "mel_lengths": lengths}, path)


def fill(
    folder: Path,
    count: int,
    config: AudioConfig,
    split: Split = "train",
    width: DomainWidth = "full",
    seed: int = 0,
    workers: int = 2,
) -> None:
    """Write the shards of ``count`` utterances; those that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    plans = [ShardPlan(n, split, width, seed) for n in range(-(-count // SHARD))]
    with ProcessPoolExecutor(workers) as pool:
        for path in pool.map(partial(write_shard, folder=folder, config=config), plans):
            print(path.name, flush=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="Synthesize utterances and keep their features.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--width", choices=get_args(DomainWidth), default="full")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    from finetune.nano.base.checkpoint import nano_config

    config = nano_config().audio
    fill(given.out, given.count, config, given.split, given.width, given.seed, given.workers)


if __name__ == "__main__":
    main()
