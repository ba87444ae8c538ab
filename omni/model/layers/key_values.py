"""Keys and values of a context in memory that is set aside ahead, so that a step copies nothing.

Knows: where each position's keys and values stand, how many there are, what a query may see.
Does not know: how keys are made, ids, sessions.

:class:`KeyValues` serves passes whose sizes the host knows. :class:`FixedWindow` serves one step in
the same memory with all sizes fixed and the position on the device, as a captured step needs it.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 256  # positions; memory is set aside in multiples


class KeyValues:
    """The past of one context, batch size one; grows by doubling.

    Each layer's memory (1, key heads, capacity, head_dim) lies where its first keys were.
    """

    def __init__(self, layers: int, capacity: int = 4 * BLOCK) -> None:
        self.length = 0  # positions held
        self.capacity = 0  # positions there is room for
        self._first = capacity
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers

    def get_seq_length(self) -> int:
        """:attr:`length`, under the name that transformers' caches have."""
        return self.length

    @property
    def bytes(self) -> int:
        """Memory set aside."""
        held = [*self._keys, *self._values]
        return sum(x.numel() * x.element_size() for x in held if x is not None)

    def positions(self, count: int, device: torch.device) -> Tensor:
        """Position numbers of the next ``count``: int64 (1, count)."""
        return torch.arange(self.length, self.length + count, device=device)[None]

    def mask(self, count: int, device: torch.device) -> Tensor | None:
        """What the next ``count`` positions see: bool (1, 1, count, length + count).

        None where attention needs no telling: one position sees all, and without a past the
        order is causal.
        """
        if count == 1 or not self.length:
            return None
        seen = torch.ones(count, self.length + count, dtype=torch.bool, device=device)
        return seen.tril(self.length)[None, None]

    def reserve(self, count: int) -> bool:
        """Makes room for ``count`` more positions; whether memory moved."""
        needed = self.length + count
        if needed <= self.capacity:
            return False
        self._resize(max(needed, 2 * self.capacity, self._first))
        return True

    def update(self, key: Tensor, value: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Writes the next positions (1, heads, count, head_dim); all up to them, as views."""
        end = self.length + key.shape[2]
        found = []
        for kept, new in ((self._keys, key), (self._values, value)):
            memory = self._memory(kept, new, layer)
            memory[:, :, self.length : end] = new
            found.append(memory[:, :, :end])
        return found[0], found[1]

    def memory(self, key: Tensor, value: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """The whole memory of a layer; ``key`` and ``value`` say what it has to hold."""
        return self._memory(self._keys, key, layer), self._memory(self._values, value, layer)

    def advance(self, count: int) -> None:
        """The pass is over: what its layers wrote is held from now on."""
        self.length += count

    def crop(self, length: int) -> None:
        """Forgets everything after the first ``length`` positions."""
        self.length = min(self.length, length)

    def trim(self) -> None:
        """Gives back the memory that holds nothing."""
        if self.capacity > _rounded(self.length):
            self._resize(self.length)

    def copy_from(self, other: KeyValues) -> None:
        """Holds what ``other`` holds; no memory moves if there is room for it."""
        self.length = 0
        self.reserve(other.length)
        for layer, (key, value) in enumerate(zip(other._keys, other._values, strict=True)):
            if key is not None and value is not None:
                self.update(key[:, :, : other.length], value[:, :, : other.length], layer)
        self.length = other.length

    def copy(self) -> KeyValues:
        """The same in memory of its own, with no room to spare."""
        twin = KeyValues(len(self._keys), capacity=max(1, self.length))
        twin.copy_from(self)
        return twin

    def _memory(self, kept: list[Tensor | None], new: Tensor, layer: int) -> Tensor:
        memory = kept[layer]
        if memory is None:
            batch, heads, _, channels = new.shape
            if batch != 1:
                raise ValueError(f"a batch of {batch}: one context is held")
            # Outside of inference mode, or passes in and out of it could not share the memory.
            with torch.inference_mode(False):
                memory = new.new_zeros(1, heads, self.capacity, channels)
            kept[layer] = memory
        return memory

    def _resize(self, positions: int) -> None:
        self.capacity = _rounded(positions)
        for kept in (self._keys, self._values):
            for layer, old in enumerate(kept):
                if old is not None:
                    with torch.inference_mode(False):
                        new = old.new_zeros(1, old.shape[1], self.capacity, old.shape[3])
                    new[:, :, : self.length] = old[:, :, : self.length]
                    kept[layer] = new


class FixedWindow:
    """One step in the memory of ``past``, which is told nothing: sizes are fixed, values are not.

    Args:
        past: with room for ``size`` positions; its memory must not move while this is used.
        position: int64 (1,), on the device: where the step stands. It may change between uses.
        size: how many positions the step looks at; those behind ``position`` are masked.
    """

    def __init__(self, past: KeyValues, position: Tensor, size: int) -> None:
        self.position = position
        self.size = size
        self._past = past

    def positions(self, count: int, device: torch.device) -> Tensor:
        """The step's position number: int64 (1, 1)."""
        assert count == 1
        return self.position[None]

    def mask(self, count: int, device: torch.device) -> Tensor:
        """What the step sees: bool (1, 1, 1, size)."""
        return (torch.arange(self.size, device=device) <= self.position)[None, None, None]

    def reserve(self, count: int) -> bool:
        """There is room."""
        return False

    def update(self, key: Tensor, value: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Writes the step's key and value (1, heads, 1, head_dim); the window, as views."""
        keys, values = self._past.memory(key, value, layer)
        keys.index_copy_(2, self.position, key)
        values.index_copy_(2, self.position, value)
        return keys[:, :, : self.size], values[:, :, : self.size]

    def advance(self, count: int) -> None:
        """The past learns of the step from who replays it."""


Preallocated = KeyValues | FixedWindow


def _rounded(positions: int) -> int:
    return -(-positions // BLOCK) * BLOCK
