"""Convolutional networks piece by piece, with no value computed twice.

Knows: how a convolution, a transposed convolution and the sums around them go on from where they
stopped. Each remembers the inputs that later outputs still need and gives the outputs that no
later input can change; after the last piece it gives the rest. Values equal those of the whole
sequence up to the order of additions.
Does not know: which network it runs.
"""

from __future__ import annotations

import copy
import functools
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


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


class ConvStream:
    """What the layers of one network remember of one sequence, each under a name of its own.

    Layers are called in any order, every one once a piece, with pieces ``(batch, channels, n)``
    of any length, 0 included. :attr:`last` is set before the last pieces come.
    """

    def __init__(self) -> None:
        self.last = False
        self._held: dict[str, Tensor] = {}
        self._to_trim: dict[str, int] = {}

    def fork(self) -> ConvStream:
        """Another run that goes on from here; neither changes the other."""
        twin = copy.copy(self)
        twin._held, twin._to_trim = dict(self._held), dict(self._to_trim)
        return twin

    def conv(self, name: str, conv: DilatedKernel, x: Tensor) -> Tensor:
        """A convolution whose ends are padded with zeros."""
        if name not in self._held:
            self._hold(name, x.new_zeros(len(x), x.shape[1], conv.padding))
        x = self._join(name, x)
        if self.last:
            x = F.pad(x, (0, conv.padding))
        return self._valid(name, conv, x)

    def mirrored_conv(self, name: str, conv: DilatedKernel, x: Tensor) -> Tensor:
        """A convolution whose ends are padded by reflection (the ends' own value not repeated)."""
        start = f"{name}.start"
        if name not in self._held:
            x = self._join(start, x)
            if x.shape[-1] <= conv.padding:
                self._hold(start, x)
                return self._valid(name, conv, x[..., :0], hold=False)
            self._hold(name, x[..., 1 : conv.padding + 1].flip(-1))
        x = self._join(name, x)
        if self.last:
            x = torch.cat([x, x[..., -conv.padding - 1 : -1].flip(-1)], dim=-1)
        return self._valid(name, conv, x)

    def up(self, name: str, conv: Kernel, x: Tensor) -> Tensor:
        """A transposed convolution: overlapping ends of pieces are added."""
        kernel = conv.kernel()
        overlap = conv.kernel_size - conv.stride
        length = x.shape[-1] * conv.stride
        sums = x.new_zeros(len(x), kernel.shape[1], length + overlap)
        if length:
            sums = F.conv_transpose1d(x, kernel, None, conv.stride)
        if name in self._held:
            sums = sums + F.pad(self._held[name], (0, length))
        self._hold(name, sums[..., length:])
        done = sums[..., : length + overlap - conv.padding] if self.last else sums[..., :length]
        trim = min(self._to_trim.get(name, conv.padding), done.shape[-1])
        self._to_trim[name] = self._to_trim.get(name, conv.padding) - trim
        done = done[..., trim:]
        return done if conv.bias is None else done + conv.bias[:, None]

    def mirror_first(self, name: str, x: Tensor) -> Tensor:
        """One value before the first, equal to the second (reflection padding of ``(1, 0)``)."""
        if name in self._held:
            return x
        x = self._join(f"{name}.start", x)
        if x.shape[-1] < 2:
            self._hold(f"{name}.start", x)
            return x[..., :0]
        self._hold(name, x[..., :0])
        return torch.cat([x[..., 1:2], x], dim=-1)

    def add(self, name: str, *parallel: Tensor) -> Tensor:
        """The sum of parallel sequences, as far as all of them have come."""
        joined = [self._join(f"{name}.{index}", x) for index, x in enumerate(parallel)]
        length = min(x.shape[-1] for x in joined)
        for index, x in enumerate(joined):
            self._hold(f"{name}.{index}", x[..., length:])
        return functools.reduce(torch.add, (x[..., :length] for x in joined))

    def _valid(self, name: str, conv: DilatedKernel, x: Tensor, *, hold: bool = True) -> Tensor:
        """Every output whose inputs are all in ``x``; inputs that later ones need are held."""
        kernel = conv.kernel()
        span = conv.dilation * (conv.kernel_size - 1) + 1
        count = max(0, (x.shape[-1] - span) // conv.stride + 1)
        if hold:
            self._hold(name, x[..., count * conv.stride :])
        if not count:
            return x.new_zeros(len(x), kernel.shape[0], 0)
        used = x[..., : (count - 1) * conv.stride + span]
        return F.conv1d(used, kernel, conv.bias, conv.stride, dilation=conv.dilation)

    def _join(self, name: str, x: Tensor) -> Tensor:
        held = self._held.get(name)
        return x if held is None or not held.shape[-1] else torch.cat([held, x], dim=-1)

    def _hold(self, name: str, x: Tensor) -> None:
        # A copy: a slice would keep the whole piece's memory alive.
        self._held[name] = x.clone()
