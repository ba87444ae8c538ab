"""The adapters of a loaded model: several beside it, one of them or none at work.

Knows: which are there, which is at work, that the base is never reloaded for them.
Does not know: who chooses, what a turn is.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open

from omni.errors import CheckpointError
from omni.events import Progress
from omni.loading.adapters.beside import LowRank, Removable, Weights, attach, place
from omni.loading.adapters.files import AdapterFiles, Shapes, find_adapter, read_adapter
from omni.loading.values import check_numbers
from omni.model.omni import OmniForCausalLM

if TYPE_CHECKING:
    from omni.config import OmniConfig


class Shelf:
    """Adapters by name. Not for several threads: whoever serves turns one by one uses it."""

    def __init__(self, model: OmniForCausalLM) -> None:
        self._model = model
        self._weights: dict[str, Weights] = {}
        self._used = ""
        self._handles: list[Removable] = []

    @property
    def names(self) -> tuple[str, ...]:
        """Of all that are there, in the order in which they were asked for."""
        return tuple(self._weights)

    @property
    def used(self) -> str:
        """The one at work; empty: none."""
        return self._used

    def hold(self, names: Sequence[str]) -> Generator[Progress, None, None]:
        """Have just these there; those that stay are not read again. All of them, or no change.

        Raises:
            CheckpointError: one is missing, broken or of another model.
            ResourceError: the disk is too small for one.
        """
        wanted = list(dict.fromkeys(names))
        missing = [name for name in wanted if name not in self._weights]
        found = []
        for name in missing:
            folder = yield from find_adapter(name)
            found.append(read_adapter(name, folder, self._shapes))
        read: dict[str, Weights] = {}
        for number, files in enumerate(found):
            yield Progress("read", number, len(found))
            read[files.name] = place(self._model, _values(files))
        if self._used and self._used not in wanted:
            self.use("")
        known = self._weights | read
        self._weights = {name: known[name] for name in wanted}

    def use(self, name: str) -> bool:
        """Put one to work, or none (empty); whether another one was at work before.

        Raises:
            CheckpointError: ``adapter-absent``.
        """
        if name == self._used:
            return False
        if name and name not in self._weights:
            raise CheckpointError(
                "adapter-absent",
                "There is no adapter {name} here: choose one of those that are loaded, or none.",
                name=name,
            )
        for handle in self._handles:
            handle.remove()
        self._handles, self._used = [], ""
        if name:
            self._handles = attach(self._model, self._weights[name])
        self._used = name
        return True

    @cached_property
    def _shapes(self) -> Shapes:
        return shapes_of(self._model.config)


def shapes_of(config: OmniConfig) -> dict[str, tuple[int, ...]]:
    """Of a model's weights by their published names, whatever became of them in memory."""
    with torch.device("meta"):
        state = OmniForCausalLM(config).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def bytes_of(folders: Mapping[str, Path], config: OmniConfig) -> int:
    """What adapters that were found will take; each is held against the model's sizes.

    Args:
        folders: by name, as :func:`omni.loading.adapters.files.find_adapter` gives them.

    Raises:
        CheckpointError: one is broken or of another model.
    """
    if not folders:
        return 0
    shapes = shapes_of(config)
    return sum(read_adapter(name, folder, shapes).size for name, folder in folders.items())


def _values(files: AdapterFiles) -> Weights:
    """Read, checked, the scale multiplied in."""
    with safe_open(files.file, framework="pt", device="cpu", backend="pread") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    check_numbers(tensors, files.file)
    pairs = {
        target: LowRank(tensors[pair.low].float(), tensors[pair.high].float() * pair.scale)
        for target, pair in files.pairs.items()
    }
    return Weights(pairs, {target: tensors[name] for target, name in files.whole.items()})
