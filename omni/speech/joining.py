"""Joining pieces of sound: a short cross-fade instead of a click.

Knows: samples. Does not know: what they say, torch, files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from omni.model.streaming import Stream

Samples: TypeAlias = np.ndarray
"""float32 ``(samples,)`` in [-1, 1], mono."""

Join: TypeAlias = Literal["overlap", "insert"]

PCM16_SCALE = 32_768
LIMIT = 0.99  # of the published output, so that nothing wraps


def silence(samples: int = 0) -> Samples:
    """That many zeros."""
    return np.zeros(samples, np.float32)


def fade(out: Samples, into: Samples, start: int = 0, total: int | None = None) -> Samples:
    """One sound fading linearly into another of the same length.

    Args:
        start: where this stretch starts within the fade, samples.
        total: samples of the whole fade; None: this stretch is all of it.
    """
    total = len(out) if total is None else total
    weight = np.linspace(0, 1, total, dtype=np.float32)[start : start + len(out)]
    return out * (1 - weight) + into * weight


def join(first: Samples, second: Samples, samples: int, how: Join = "overlap") -> Samples:
    """Two whole pieces with a cross-fade of ``samples`` between them.

    ``overlap`` lays the end of the first over the start of the second: nothing is heard twice and
    the result is ``samples`` shorter than both. ``insert`` is the published demos' way: the faded
    stretch comes between the two unchanged pieces, which repeats 2 x ``samples`` of sound.
    A piece shorter than the fade shortens the fade.
    """
    samples = min(samples, len(first), len(second))
    cut = len(first) - samples
    middle = fade(first[cut:], second[:samples])
    if how == "insert":
        return np.concatenate([first, middle, second])
    return np.concatenate([first[:cut], middle, second[samples:]])


def pcm16(samples: Samples) -> np.ndarray:
    """float32 in [-1, 1] to int16, cut at +-0.99."""
    return np.rint(np.clip(samples, -LIMIT, LIMIT) * PCM16_SCALE).astype(np.int16)


@dataclass
class JoinerState:
    """``end``: of the pieces before, held back. ``piece``: of this piece, held back.

    ``joined``: whether this piece's start has met the end before it.
    """

    end: Samples
    piece: Samples
    joined: bool = True


class Joiner(Stream[Samples, Samples, JoinerState]):
    """:func:`join` while the pieces still come, each in chunks of any length, for every cut.

    What was pushed last is held back for the length of a fade, as it may be the end of a piece.
    """

    def __init__(self, samples: int, how: Join = "overlap") -> None:
        self._samples = samples
        self._how = how
        super().__init__()

    def new_state(self) -> JoinerState:
        """Nothing is held back."""
        return JoinerState(silence(), silence())

    def advance(self, piece: Samples | None, last: bool) -> Samples:
        """What can be played of a chunk; at the end, everything that was held back."""
        chunk = silence() if piece is None else piece
        if not last:
            return self._take(chunk)
        return np.concatenate([self._take(chunk, ends=True), self.state.end])

    def end_piece(self, chunk: Samples) -> Samples:
        """The last chunk of a piece, which another may follow; gives what can be played.

        A piece without samples leaves no trace.
        """
        self._check_open()
        return self._take(chunk, ends=True)

    def _take(self, chunk: Samples, ends: bool = False) -> Samples:
        state = self.state
        piece = np.concatenate([state.piece, chunk])
        if not state.joined:
            if len(piece) < len(state.end) and not ends:
                state.piece = piece
                return silence()
            if not len(piece):
                return piece
            piece = join(state.end, piece, self._samples, self._how)
            state.joined = True
        cut = max(0, len(piece) - self._samples)
        if ends:
            state.end, state.piece, state.joined = piece[cut:], silence(), False
        else:
            state.piece = piece[cut:]
        return piece[:cut]
