"""Examples to batches: which ones go together, and how they are packed.

Knows: rows of like length share a batch, the order is a function of the seed alone, rows that are
seen once among others that are seen again and again, codes that are replaced by chance.
Does not know: files, losses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, Sampler

from finetune.lora.data.examples import IGNORED, Example

BUCKET = 16  # batches whose rows are sorted by length together

Batch = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Drawn:
    """An example at its place in the training."""

    example: Example
    codes: Tensor  # those of the example, some replaced
    held: bool = False  # the model is held to what it scored before, not to what the example says


class Drawing(Dataset[Drawn]):
    """Examples by their place in the training.

    Args:
        order: the example at each place.
        code_noise: of the codes that the model said itself, the largest share that is replaced.
        sizes: of the codebooks.
        audio_pad: the id that codes stand under.
        held: the examples from this one on are held, see :class:`Drawn`; None: none of them.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        order: Sequence[int],
        sizes: Sequence[int],
        audio_pad: int,
        code_noise: float = 0.0,
        seed: int = 0,
        held: int | None = None,
    ) -> None:
        self._examples, self._order = examples, order
        self._sizes, self._audio_pad = np.array(sizes), audio_pad
        self._noise, self._seed = code_noise, seed
        self._held = len(examples) if held is None else held

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, place: int) -> Drawn:
        index = self._order[place]
        example, held = self._examples[index], index >= self._held
        if not self._noise or not len(example.frame_places):
            return Drawn(example, example.codes, held)
        rng = np.random.default_rng((self._seed, place))
        said = _said(example, self._audio_pad)
        share = self._noise * rng.random()
        replaced = said[:, None] & (rng.random(tuple(example.codes.shape)) < share)
        others = rng.integers(0, self._sizes, tuple(example.codes.shape))
        codes = torch.from_numpy(np.where(replaced, others, example.codes.numpy()))
        return Drawn(example, codes, held)


def _said(example: Example, audio_pad: int) -> np.ndarray:
    """Which of the codes the model says itself: bool (audio pads,).

    A frame that is said stands behind a place that predicts one; the end frame stands nowhere.
    """
    pads = np.flatnonzero((example.ids == audio_pad).numpy())
    return np.isin(pads - 1, example.frame_places.numpy())


def training_order(
    lengths: Sequence[int], batch: int, places: int, seed: int, once: int = 0
) -> list[int]:
    """The example at each of ``places`` places of a training.

    Every example comes once before any comes again. In each round, rows of like length stand in
    one batch, and the batches come in any order.

    Args:
        once: of the examples, the last so many are mixed in: each round has its share of them, so
            that the whole training sees them once.
    """
    rng = np.random.default_rng(seed)
    again = len(lengths) - once
    rounds = max(1, round((places - once) / max(1, again)))
    # Of a training that is too short for all of them, all others come first.
    some_once = again + rng.permutation(once)[: max(0, places - again)]
    mixed = np.array_split(some_once, rounds)
    order: list[int] = []
    number = 0
    while len(order) < places:
        some = np.concatenate([np.arange(again), mixed[number % rounds]])
        order += [int(some[i]) for i in _round([lengths[i] for i in some], batch, rng)]
        number += 1
    return order[:places]


def _round(lengths: Sequence[int], batch: int, rng: np.random.Generator) -> list[int]:
    shuffled = rng.permutation(len(lengths))
    batches: list[np.ndarray] = []
    for start in range(0, len(shuffled), BUCKET * batch):
        part = shuffled[start : start + BUCKET * batch]
        part = part[np.argsort([lengths[i] for i in part], kind="stable")]
        batches += [part[i : i + batch] for i in range(0, len(part), batch)]
    mixed = [batches[i] for i in rng.permutation(len(batches))]
    return [int(index) for some in mixed for index in some]


def places_needed(rows: int, epochs: float, steps: int, batch: int, once: int = 0) -> int:
    """Places of a training of ``steps`` steps, else of as many as the epochs need.

    ``batch``: rows of a step, of all devices together. ``once``: further rows, which are mixed in.
    The last step is full too.
    """
    return (steps or max(1, math.ceil((rows * epochs + once) / batch))) * batch


class InOrder(Sampler[int]):
    """The places of a training, one after another."""

    def __init__(self, places: int) -> None:
        self._places = places

    def __len__(self) -> int:
        return self._places

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._places))


def collate(drawn: Sequence[Drawn]) -> Batch:
    """Examples as one batch, padded at the right, their media packed in order.

    ``ids`` and ``text_targets`` (batch, positions); ``codes`` (audio pads, codebooks);
    ``frame_places`` (frames,) into the flattened positions; ``frame_targets`` (frames, codebooks);
    ``image_features`` and ``video_features`` (4 rows, embed_dim); ``held`` bool (batch,).
    """
    examples = [each.example for each in drawn]
    # Any ordinary id will do behind the end: nothing looks back from there.
    ids = pad_sequence([e.ids for e in examples], batch_first=True, padding_value=0)
    longest = ids.shape[1]
    targets = [e.text_targets for e in examples]
    return {
        "ids": ids,
        "text_targets": pad_sequence(targets, batch_first=True, padding_value=IGNORED),
        "codes": torch.cat([each.codes for each in drawn]),
        "frame_places": torch.cat([e.frame_places + n * longest for n, e in enumerate(examples)]),
        "frame_targets": torch.cat([e.frame_targets for e in examples]),
        "image_features": torch.cat([e.image_features for e in examples]),
        "video_features": torch.cat([e.video_features for e in examples]),
        "held": torch.tensor([each.held for each in drawn]),
    }
