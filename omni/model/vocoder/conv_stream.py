"""Convolutions piece by piece, with no value computed twice.

Knows: how a convolution, a transposed convolution, reflected ends and sums go on from where they
stopped. Each is a stream of pieces ``(batch, channels, n)``: it remembers the inputs that later
outputs still need and gives the outputs that no later input can change. Values equal those of the
whole sequence, for every cut, up to the order of additions.
Does not know: which network the layers make up.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from omni.model.streaming import Piece, State, Stream


class Kernel(Protocol):
    """What a transposed convolution is made of."""

    @property
    def bias(self) -> Tensor | None:
        """(channels out,), or none."""

    @property
    def kernel_size(self) -> int:
        """Frames that a weight reaches over."""

    @property
    def stride(self) -> int:
        """Frames from one place of the kernel to the next."""

    @property
    def padding(self) -> int:
        """Frames of silence on each side."""

    def kernel(self) -> Tensor:
        """The weights, three-dimensional, its last axis kernel_size long."""


class DilatedKernel(Kernel, Protocol):
    """What a convolution is made of."""

    @property
    def dilation(self) -> int:
        """Frames between neighbouring weights."""


class LayerStream(Stream[Piece, Tensor, State]):
    """A stream that can branch off; its state's values are replaced and never changed in place."""

    def fork(self) -> Self:
        """Another stream that goes on from here; neither changes the other."""
        twin = copy.copy(self)
        twin.state = copy.copy(self.state)
        return twin


@dataclass
class ConvState:
    """``held``: inputs ``(batch, channels, n)`` that later outputs need; None before the first."""

    held: Tensor | None = None


class ConvStream(LayerStream[Tensor, ConvState]):
    """A convolution whose ends are padded with zeros."""

    def __init__(self, conv: DilatedKernel) -> None:
        self.conv = conv
        super().__init__()

    def new_state(self) -> ConvState:
        """Nothing is held."""
        return ConvState()

    def advance(self, piece: Tensor | None, last: bool) -> Tensor:
        """The outputs whose inputs have all come."""
        conv, state, kernel = self.conv, self.state, self.conv.kernel()
        x = _empty(state.held, kernel, kernel.shape[1]) if piece is None else piece
        if state.held is None:
            state.held = x.new_zeros(len(x), x.shape[1], conv.padding)
        x = _joined(state.held, x)
        if last:
            x = F.pad(x, (0, conv.padding))
        y, state.held = _valid(conv, x)
        return y


@dataclass
class MirroredState:
    """``start``: first inputs, too few to be reflected. ``held``: as of :class:`ConvState`."""

    start: Tensor | None = None
    held: Tensor | None = None


class MirroredConvStream(LayerStream[Tensor, MirroredState]):
    """A convolution whose ends are padded by reflection (the ends' own value is not repeated).

    A sequence that is no longer than the padding gives nothing.
    """

    def __init__(self, conv: DilatedKernel) -> None:
        self.conv = conv
        super().__init__()

    def new_state(self) -> MirroredState:
        """Nothing is held."""
        return MirroredState()

    def advance(self, piece: Tensor | None, last: bool) -> Tensor:
        """The outputs whose inputs have all come."""
        conv, state, kernel = self.conv, self.state, self.conv.kernel()
        begun = state.start if state.held is None else state.held
        x = _empty(begun, kernel, kernel.shape[1]) if piece is None else piece
        if state.held is None:
            x = _joined(state.start, x)
            if x.shape[-1] <= conv.padding:
                state.start = x.clone()
                return _valid(conv, x[..., :0])[0]
            state.held = x[..., 1 : conv.padding + 1].flip(-1)
        x = _joined(state.held, x)
        if last:
            x = torch.cat([x, x[..., -conv.padding - 1 : -1].flip(-1)], dim=-1)
        y, state.held = _valid(conv, x)
        return y


@dataclass
class UpState:
    """``sums``: the end of the last piece's outputs, to which the next piece adds.

    ``to_trim``: outputs of the start that padding takes away and that have not come yet.
    """

    to_trim: int
    sums: Tensor | None = None


class UpConvStream(LayerStream[Tensor, UpState]):
    """A transposed convolution: the overlapping ends of pieces are added."""

    def __init__(self, conv: Kernel) -> None:
        self.conv = conv
        super().__init__()

    def new_state(self) -> UpState:
        """Nothing is held, and all of the padding is still to be taken away."""
        return UpState(self.conv.padding)

    def advance(self, piece: Tensor | None, last: bool) -> Tensor:
        """The outputs to which no later input adds."""
        conv, state, kernel = self.conv, self.state, self.conv.kernel()
        x = _empty(state.sums, kernel, len(kernel)) if piece is None else piece
        overlap = conv.kernel_size - conv.stride
        length = x.shape[-1] * conv.stride
        sums = x.new_zeros(len(x), kernel.shape[1], length + overlap)
        if length:
            sums = F.conv_transpose1d(x, kernel, None, conv.stride)
        if state.sums is not None:
            sums = sums + F.pad(state.sums, (0, length))
        state.sums = sums[..., length:].clone()
        done = sums[..., : length + overlap - conv.padding] if last else sums[..., :length]
        trim = min(state.to_trim, done.shape[-1])
        state.to_trim -= trim
        done = done[..., trim:]
        return done if conv.bias is None else done + conv.bias[:, None]


@dataclass
class MirrorState:
    """``start``: a first value that waits for the second. ``begun``: whether both have come."""

    start: Tensor | None = None
    begun: bool = False


class MirrorFirstStream(LayerStream[Tensor, MirrorState]):
    """One value before the first, equal to the second (reflection padding of ``(1, 0)``).

    A sequence of one value gives nothing.
    """

    def new_state(self) -> MirrorState:
        """No value has come."""
        return MirrorState()

    def advance(self, piece: Tensor | None, last: bool) -> Tensor:
        """The piece; the first two values behind a copy of the second."""
        state = self.state
        x = _nothing(state.start) if piece is None else piece
        if state.begun:
            return x
        x = _joined(state.start, x)
        state.begun = x.shape[-1] >= 2
        state.start = (x[..., :0] if state.begun else x).clone()
        return torch.cat([x[..., 1:2], x], dim=-1) if state.begun else x[..., :0]


@dataclass
class SumState:
    """``held``: of each sequence, the values ``(batch, channels, n)`` that have no partner yet."""

    held: tuple[Tensor | None, ...]


class SumStream(LayerStream[Sequence[Tensor], SumState]):
    """The sum of ``count`` parallel sequences, as far as all of them have come.

    A piece is the next values of each, which may be more of one than of another.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__()

    def new_state(self) -> SumState:
        """Nothing is held of any of them."""
        return SumState((None,) * self.count)

    def advance(self, piece: Sequence[Tensor] | None, last: bool) -> Tensor:
        """The sums of which all terms have come; at the end, what has no partner is dropped."""
        held = self.state.held
        new = [_nothing(each) for each in held] if piece is None else piece
        terms = [_joined(each, x) for each, x in zip(held, new, strict=True)]
        length = min(x.shape[-1] for x in terms)
        self.state.held = tuple(x[..., length:].clone() for x in terms)
        return functools.reduce(torch.add, (x[..., :length] for x in terms))


def _valid(conv: DilatedKernel, x: Tensor) -> tuple[Tensor, Tensor]:
    """Every output whose inputs are all in ``x``, and the inputs that later outputs need.

    The latter are a copy: a slice would keep the memory of the whole piece alive.
    """
    kernel = conv.kernel()
    span = conv.dilation * (conv.kernel_size - 1) + 1
    count = max(0, (x.shape[-1] - span) // conv.stride + 1)
    held = x[..., count * conv.stride :].clone()
    if not count:
        return x.new_zeros(len(x), kernel.shape[0], 0), held
    used = x[..., : (count - 1) * conv.stride + span]
    return F.conv1d(used, kernel, conv.bias, conv.stride, dilation=conv.dilation), held


def _joined(held: Tensor | None, x: Tensor) -> Tensor:
    return x if held is None or not held.shape[-1] else torch.cat([held, x], dim=-1)


def _empty(held: Tensor | None, kernel: Tensor, channels: int) -> Tensor:
    """No values ``(batch, channels, 0)`` of the sequence that ``held`` is from, if it has begun."""
    return kernel.new_zeros(1 if held is None else len(held), channels, 0)


def _nothing(held: Tensor | None) -> Tensor:
    """As :func:`_empty`, for a layer that knows its channels by what has come alone."""
    return torch.zeros(1, 0, 0) if held is None else held[..., :0]
