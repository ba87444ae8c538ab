"""The examples of the language stage, written once and kept: speaking and encoding cost as much as
learning from them.

Knows: shards of sequences on disk, and drawing batches from those that are there by the number of
the step. Does not know: losses, what an example says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from random import Random

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file

from finetune.nano.base.checkpoint import nano_config, nano_tokenizer
from finetune.nano.domain.splits import Split, stable_hash
from finetune.nano.domain.width import DomainWidth
from finetune.nano.examples.examples import PEOPLE, WEIGHTS, example
from finetune.nano.examples.parts import Task
from finetune.nano.examples.sequences import Sequence, SequenceWriter
from omni.model.audio.audio_tokenizer import AudioTokenizer

SHARD = 128  # examples of a file
SEED = 7
# The first examples are about sound and words alone: the most frequent tasks of all, on which the
# stage can begin while the vision tower is still learning.
FIRST_EXAMPLES = 6_000
FIRST_TASKS: Mapping[Task, int] = {"tts": 34, "asr": 40, "chat": 14, "clone": 6, "style": 6}
RENDERINGS = 12  # of everything that is said to the model
_POOL = 8  # batches' worth of examples, from which those of about one length are taken
_writer: SequenceWriter  # of a worker process
_NUMBERS = ("ids", "text_targets", "sound_targets", "sight_targets", "frame_places")


@dataclass(frozen=True)
class BankPlan:
    """What a shard holds: a function of this and of the audio tokenizer's weights."""

    number: int
    width: DomainWidth = "full"
    split: Split = "train"
    tasks: tuple[Task, ...] = ()  # of these only; none given: of all

    @property
    def name(self) -> str:
        """The file's name."""
        return "-".join((self.split, self.width, *self.tasks, f"{self.number:05d}.safetensors"))

    @property
    def weights(self) -> Mapping[Task, int]:
        """How often each task is drawn."""
        if self.tasks:
            return {task: (WEIGHTS | PEOPLE)[task] for task in self.tasks}
        return FIRST_TASKS if self.number * SHARD < FIRST_EXAMPLES else WEIGHTS


def write_shard(plan: BankPlan, folder: Path, writer: SequenceWriter) -> Path:
    """Write a shard's sequences, unless the file is there."""
    path = folder / plan.name
    if path.exists():
        return path
    numbers = range(plan.number * SHARD, (plan.number + 1) * SHARD)
    sequences = [
        writer.write(
            example(
                n,
                SEED,
                plan.split,
                width=plan.width,
                weights=plan.weights,
                renderings=RENDERINGS,
            )
        )
        for n in numbers
    ]
    draft = path.with_suffix(".draft")
    save_file(_packed(sequences), draft)
    draft.replace(path)
    return path


def fill(
    folder: Path,
    count: int,
    audio: AudioTokenizer,
    width: DomainWidth = "full",
    workers: int = 1,
    first: int = 0,
    tasks: tuple[Task, ...] = (),
    voice: AudioTokenizer | None = None,
) -> None:
    """Write the shards of ``count`` examples, in ``workers`` processes; those there are kept.

    ``first``: the number of the first example, rounded down to the beginning of a shard: a later
    training does not repeat what an earlier one has seen. ``tasks``: examples of these only, for
    what is still learnt worse than the rest; none given: of all. ``voice``: see
    :class:`SequenceWriter`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers = range(first // SHARD, -(-(first + count) // SHARD))
    plans = [BankPlan(n, width, tasks=tasks) for n in numbers]
    # Each process keeps its writer, which remembers what it has encoded.
    with ProcessPoolExecutor(workers, initializer=_begin, initargs=(audio, voice)) as pool:
        for path in pool.map(_write, repeat(folder), plans):
            print(path.name, flush=True)


def _begin(audio: AudioTokenizer, voice: AudioTokenizer | None) -> None:
    global _writer
    torch.set_num_threads(1)  # one process a core
    _writer = SequenceWriter(nano_tokenizer(), nano_config(), audio, voice)


def _write(folder: Path, plan: BankPlan) -> Path:
    return write_shard(plan, folder, _writer)


def _packed(sequences: list[Sequence]) -> dict[str, np.ndarray]:
    """Everything end to end, with the lengths beside it."""
    tensors: dict[str, np.ndarray] = {}
    for name in _NUMBERS:
        rows = [getattr(sequence, name) for sequence in sequences]
        tensors[name] = np.array([value for row in rows for value in row], np.int32)
        tensors[f"{name}_lengths"] = np.array([len(row) for row in rows], np.int32)
    for name in ("codes", "frame_targets"):
        parts = [part for sequence in sequences for part in getattr(sequence, name)]
        counts = [sum(map(len, getattr(sequence, name))) for sequence in sequences]
        tensors[name] = np.concatenate(parts).astype(np.int16)
        tensors[f"{name}_lengths"] = np.array(counts, np.int32)
    for name in ("images", "frames"):
        pictures = [np.asarray(p) for sequence in sequences for p in getattr(sequence, name)]
        flat = [picture.reshape(-1) for picture in pictures]
        tensors[name] = np.concatenate([np.zeros(0, np.uint8), *flat])
        sizes = np.array([picture.shape[:2] for picture in pictures], np.int32)
        tensors[f"{name}_sizes"] = sizes.reshape(-1, 2)
        counts = [len(getattr(sequence, name)) for sequence in sequences]
        tensors[f"{name}_lengths"] = np.array(counts, np.int32)
    return tensors


def _unpacked(tensors: dict[str, np.ndarray]) -> Iterator[Sequence]:
    cut = {
        name: np.split(tensors[name], np.cumsum(tensors[f"{name}_lengths"])[:-1])
        for name in (*_NUMBERS, "codes", "frame_targets")
    }
    pictures = {name: iter(_pictures(tensors, name)) for name in ("images", "frames")}
    for place in range(len(cut["ids"])):
        numbers = {name: cut[name][place].tolist() for name in _NUMBERS}
        images, frames = (
            [next(pictures[name]) for _ in range(tensors[f"{name}_lengths"][place])]
            for name in ("images", "frames")
        )
        yield Sequence(
            **numbers,
            codes=[cut["codes"][place]],
            images=images,
            frames=frames,
            frame_targets=[cut["frame_targets"][place]],
        )


def _pictures(tensors: dict[str, np.ndarray], name: str) -> Iterator[Image.Image]:
    place = 0
    for height, width in tensors[f"{name}_sizes"].tolist():
        pixels = tensors[name][place : place + height * width * 3]
        yield Image.fromarray(pixels.reshape(height, width, 3))
        place += height * width * 3


class Bank:
    """The sequences of all shards of a folder, in memory."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            FileNotFoundError: there are no shards.
        """
        self.folder = folder
        self._read: set[str] = set()
        self.sequences: list[Sequence] = []
        self.refresh()
        if not self.sequences:
            raise FileNotFoundError(f"no shards in {folder}: run the stage examples first")

    def refresh(self) -> None:
        """Read the shards that have come since."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.name not in self._read:
                self._read.add(path.name)
                self.sequences.extend(_unpacked(load_file(path)))

    def batch(self, step: int, count: int) -> list[Sequence]:
        """The sequences of a step: of about one length, so that little is padded."""
        rng = Random(stable_hash("bank", SEED, step))
        pool = rng.choices(self.sequences, k=_POOL * count)
        pool.sort(key=lambda sequence: len(sequence.ids))
        start = rng.randrange((_POOL - 1) * count + 1)
        return pool[start : start + count]
