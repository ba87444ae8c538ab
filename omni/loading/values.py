"""The values of weight files, looked at as they are read: a model of NaN or zeros says nothing.

Knows: tensors that are read when they are indexed. Does not know: what a model does with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from omni.errors import CheckpointError

LOOKED_AT = {torch.float32, torch.bfloat16, torch.float16, torch.float64}
# These carry every answer: of the other matrices a few may be zero, as untrained parts are.
NEEDED = ("embed_tokens.weight", "lm_head.weight")
MOST_ZEROS = 0.5  # of the matrices


class WeightFiles:
    """Every tensor of some safetensors files as something that is read when it is indexed.

    Read, not memory-mapped: what was converted leaves no pages behind, so that the process never
    holds much more than the model; and a file that changes later cannot crash it.
    """

    def __init__(self, files: list[Path]) -> None:
        self.slices: dict[str, Any] = {}
        self._broken: list[str] = []
        self._zeros: list[str] = []
        self._matrices = 0
        for file in files:
            opened = safe_open(file, framework="pt", device="cpu", backend="pread")
            for name in opened.keys():  # noqa: SIM118 - not a mapping
                self.slices[name] = _Slice(name, opened.get_slice(name), self)

    def look(self, name: str, tensor: torch.Tensor) -> None:
        """Remember what is wrong with a tensor; one pass, a small part of reading it."""
        if tensor.dtype not in LOOKED_AT or not tensor.numel():
            return
        low, high = torch.aminmax(tensor)  # both are NaN if one value is
        if not (torch.isfinite(low) and torch.isfinite(high)):
            self._broken.append(name)
        if tensor.ndim > 1:
            self._matrices += 1
            if low == 0 and high == 0:
                self._zeros.append(name)

    def check(self, folder: Path) -> None:
        """What was read so far can be a model's.

        Raises:
            CheckpointError: ``weights-broken`` or ``weights-zero``.
        """
        if self._broken:
            raise _no_numbers(folder, min(self._broken))
        needed = [name for name in self._zeros if name.endswith(NEEDED)]
        if needed or len(self._zeros) > MOST_ZEROS * max(self._matrices, 1):
            raise CheckpointError(
                "weights-zero",
                "The weights of {path} are zeros ({name}): they were never filled. "
                "Fetch another copy.",
                path=folder,
                name=min(needed or self._zeros),
            )


def check_numbers(tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """Tensors that were read in another way hold numbers.

    Raises:
        CheckpointError: ``weights-broken``.
    """
    for name, tensor in tensors.items():
        if tensor.dtype in LOOKED_AT and not torch.isfinite(tensor).all():
            raise _no_numbers(file, name)


def _no_numbers(path: Path, name: str) -> CheckpointError:
    return CheckpointError(
        "weights-broken",
        "The weights of {path} hold values that are no numbers ({name}): they were damaged "
        "when they were made. Fetch another copy or version.",
        path=path,
        name=name,
    )


class _Slice:
    """A tensor of a file, with what transformers asks of one."""

    def __init__(self, name: str, inner: Any, files: WeightFiles) -> None:
        self._name, self._inner, self._files = name, inner, files

    def get_shape(self) -> list[int]:
        """Its shape by the header."""
        return list(self._inner.get_shape())

    def get_dtype(self) -> str:
        """Its dtype as safetensors spells it."""
        return str(self._inner.get_dtype())

    def __getitem__(self, index: Any) -> torch.Tensor:
        tensor: torch.Tensor = self._inner[index]
        self._files.look(self._name, tensor)
        return tensor
