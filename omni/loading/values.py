"""The values of weight files, looked at as they are read: a model of NaN or zeros says nothing.

Knows: tensors that are read when they are indexed, in pieces, each told when it is read.
Does not know: what a model does with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import safe_open

from omni.errors import CheckpointError
from omni.loading.checkpoint import broken_file, read_header

LOOKED_AT = {torch.float32, torch.bfloat16, torch.float16, torch.float64}
# These carry every answer: of the other matrices a few may be zero, as untrained parts are.
NEEDED = ("embed_tokens.weight", "lm_head.weight")
MOST_ZEROS = 0.5  # of the matrices
PIECE_BYTES = 16_000_000  # read at once; a slow disk gives them within a second

# Called with a tensor's name and the bytes of it that were read; what it raises ends the reading.
Told: TypeAlias = Callable[[str, int], None]


class WeightFiles:
    """Every tensor of some safetensors files as something that is read when it is indexed.

    Read, not memory-mapped: what was converted leaves no pages behind, so that the process never
    holds much more than the model; and a file that changes later cannot crash it. Each is read
    right into its place: memory that is taken for a piece and given back costs more than reading.
    """

    def __init__(self, files: list[Path], told: Told = lambda name, size: None) -> None:
        self.slices: dict[str, Any] = {}
        self.told = told
        self._broken: list[str] = []
        self._zeros: list[str] = []
        self._matrices = 0
        for file in files:
            opened = safe_open(file, framework="pt", device="cpu", backend="pread")
            begins = {name: info.begin for name, info in read_header(file).items()}
            for name in opened.keys():  # noqa: SIM118 - not a mapping
                inner = opened.get_slice(name)
                self.slices[name] = _Slice(name, inner, self, file, begins[name])

    def look(self, name: str, pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """``pieces`` of a tensor, and remember what is wrong with it.

        One pass while they are in the CPU's cache, a small part of reading them.
        """
        dimensions, zeros = 0, True
        for piece in pieces:
            if piece.dtype in LOOKED_AT and piece.numel():
                dimensions = piece.ndim
                low, high = torch.aminmax(piece)  # both are NaN if one value is
                if not (torch.isfinite(low) and torch.isfinite(high)):
                    self._broken.append(name)
                zeros = zeros and bool(low == 0) and bool(high == 0)
            yield piece
        if dimensions > 1:
            self._matrices += 1
            if zeros:
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

    def __init__(self, name: str, inner: Any, files: WeightFiles, file: Path, begin: int) -> None:
        """Args:
        inner: the tensor as safetensors gives it.
        begin: the place of its first byte in ``file``.
        """
        self._name, self._inner, self._files = name, inner, files
        self._file, self._begin = file, begin

    def get_shape(self) -> list[int]:
        """Its shape by the header."""
        return list(self._inner.get_shape())

    def get_dtype(self) -> str:
        """Its dtype as safetensors spells it."""
        return str(self._inner.get_dtype())

    def __getitem__(self, index: Any) -> torch.Tensor:
        self._files.told(self._name, 0)  # a reading that was given up ends before the disk is asked
        shape = self.get_shape()
        if index is Ellipsis and shape and 0 not in shape:
            tensor = torch.empty(shape, dtype=self._inner[0:0].dtype)
            pieces = self._filled(tensor)
        else:
            tensor = self._inner[index]
            pieces = iter([tensor])
        for piece in self._files.look(self._name, pieces):
            self._files.told(self._name, piece.nbytes)
        return tensor

    def _filled(self, tensor: torch.Tensor) -> Iterator[torch.Tensor]:
        """The rows of ``tensor``, some at a time, each read into its place.

        Raises:
            CheckpointError: ``file-broken``, the file has become shorter.
        """
        rows = max(1, PIECE_BYTES // tensor[0].nbytes)
        with self._file.open("rb", buffering=0) as file:
            file.seek(self._begin)
            for piece in tensor.split(rows):
                left = memoryview(piece.reshape(-1).view(torch.uint8).numpy())
                while left:
                    count = file.readinto(left)
                    if not count:
                        raise broken_file(self._file)
                    left = left[count:]
                yield piece
