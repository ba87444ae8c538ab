"""The golden set as it is kept in the repository: nothing in it that can be made again.

Knows: that the tiny checkpoint's weights were drawn from one seeded stream of numbers, in the order
of their names; that the other large files are kept compressed. Does not know: what they are for.
Unpacking gives the published files bit by bit, on every machine: README.json has their checksums.

Usage: python -m tests.support.golden_pack FOLDER (packs a set whose weights were drawn like that)
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from safetensors.torch import load, load_file, save
from torch import Tensor

Doubles: TypeAlias = NDArray[np.float64]

CHECKPOINT = "ckpt/model.safetensors"
RECIPE = "ckpt/model.drawn.json.xz"  # seed, and shape, mean and spread of each tensor
REST = "ckpt/model.rest.safetensors"  # what differs from what is drawn
INDEX, VALUE = "#index", "#value"  # of a tensor in which a few numbers differ
PACKED = ".xz"
SOUND = ".flac"  # of a packed .wav
LARGE = (".safetensors", ".pt", ".wav", "/generation.json")
WORDS = ({"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 1, "lp": 2, "pb": 2},)  # numbers of 4 bytes
FEW = 0.02  # of the numbers of a tensor
BLOCK = 16  # torch draws so many normal numbers at a time, from as many equal ones


class Drawn(NamedTuple):
    """How a tensor was drawn. ``spread``: standard deviation; None: a table of sines, see below."""

    shape: tuple[int, ...]
    mean: float
    spread: float | None


def unpack(folder: Path) -> None:
    """Write the files that a packed set leaves out beside what it keeps; those that are there stay.

    Raises:
        ValueError: a file does not come out as README.json describes it.
    """
    described = description(folder)
    for packed in sorted(folder.rglob(f"*{PACKED}")):
        path = packed.with_suffix("")
        name = path.relative_to(folder).as_posix()
        if name not in (REST, RECIPE.removesuffix(PACKED)):
            _write(path, described[name], partial(_decompress, packed))
    for packed in sorted(folder.rglob(f"*.wav{SOUND}")):
        path = packed.with_suffix("")
        _write(path, described[path.relative_to(folder).as_posix()], partial(_wav, packed))
    if (folder / RECIPE).exists():
        _write(folder / CHECKPOINT, described[CHECKPOINT], partial(_checkpoint, folder))


def description(folder: Path) -> dict[str, dict[str, Any]]:
    """What README.json says of each file: ``bytes``; how ``sha256`` begins, but of inputs."""
    text = json.loads((folder / "README.json").read_text(encoding="utf-8"))
    inputs = {f"inputs/{name}": {"bytes": size} for name, size in text["inputs"].items()}
    return text["files"] | inputs


def _write(path: Path, described: Mapping[str, Any], make: Callable[[], bytes]) -> None:
    """Make a file, whole or not at all, unless it is there with its described size."""
    if path.exists() and path.stat().st_size == described["bytes"]:
        return
    content = make()
    if not hashlib.sha256(content).hexdigest().startswith(described.get("sha256", "")):
        raise ValueError(f"{path} does not come out as it was")
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _checkpoint(folder: Path) -> bytes:
    """The checkpoint's file, from its recipe and the rest."""
    recipe = json.loads(_decompress(folder / RECIPE))
    rest = load(_decompress(folder / f"{REST}{PACKED}"))
    tensors = {}
    for name, tensor in _drawn(recipe):
        if name in rest:
            tensor = rest[name]
        elif name + INDEX in rest:
            tensor.view(-1)[rest[name + INDEX].long()] = rest[name + VALUE]
        tensors[name] = tensor
    return save(tensors, {"format": "pt"})


def _drawn(recipe: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a recipe as it is drawn, in bfloat16."""
    tensors = {name: Drawn(*entry) for name, entry in recipe["tensors"].items()}
    stream = Stream(recipe["seed"])
    for name, (shape, mean, spread) in sorted(tensors.items()):
        if spread is None:
            values = sines(*shape)
        else:
            values = mean + spread * stream.normal(math.prod(shape))
        yield name, torch.from_numpy(values.astype(np.float32)).bfloat16().view(*shape)


class Stream:
    """The normal numbers that ``torch.randn`` draws on a CPU after ``torch.manual_seed``.

    In double precision, so that a machine's own float32 functions do not matter; torch's differ in
    their last bit from machine to machine.
    """

    def __init__(self, seed: int) -> None:
        self._source = np.random.RandomState(seed)  # the same generator and the same seeding

    def normal(self, count: int) -> Doubles:
        """``count`` numbers, at least BLOCK; an unfinished last block is drawn anew as a whole."""
        numbers = self._blocks(count)
        if count % BLOCK:
            numbers = np.concatenate([numbers[: count - BLOCK], self._blocks(BLOCK)])
        return numbers

    def _blocks(self, count: int) -> Doubles:
        """``count`` numbers from as many equal ones; behind the last whole block they are 0."""
        words = np.frombuffer(self._source.bytes(4 * count), dtype="<u4")
        equal = (words & 0xFFFFFF) / 2.0**24
        first, second = equal[: count // BLOCK * BLOCK].reshape(-1, 2, BLOCK // 2).swapaxes(0, 1)
        radius, angle = np.sqrt(-2 * np.log1p(-first)), 2 * np.pi * second
        whole = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)
        return np.concatenate([whole, np.zeros(count % BLOCK)])


def sines(positions: int, width: int) -> Doubles:
    """Whisper's position table (positions, width): sines, then cosines, of falling frequencies."""
    frequencies = np.exp(-math.log(10_000) / (width // 2 - 1) * np.arange(width // 2))
    angles = np.arange(positions)[:, None] * frequencies.astype(np.float32).astype(np.float64)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def pack(folder: Path) -> None:
    """Leave out of a whole set what :func:`unpack` makes; the files themselves stay."""
    seed = json.loads((folder / "README.json").read_text(encoding="utf-8"))["seed"]
    wanted = load_file(folder / CHECKPOINT)
    recipe: dict[str, Any] = {"seed": seed, "tensors": {}}
    stream = Stream(seed)
    for name, tensor in sorted(wanted.items()):
        table = name.endswith("positional_embedding")
        numbers = None if table else stream.normal(tensor.numel())
        recipe["tensors"][name] = [list(tensor.shape), *_law(tensor, numbers)]
    rest = {}
    for name, tensor in _drawn(recipe):
        differs = (tensor != wanted[name]).view(-1).nonzero().view(-1)
        if len(differs) > FEW * tensor.numel():
            rest[name] = wanted[name]
        elif len(differs):
            rest[name + INDEX] = differs.int()
            rest[name + VALUE] = wanted[name].view(-1)[differs]
    _compress(folder / REST, save(rest))
    lines = [f"  {json.dumps(name)}: {json.dumps(law)}" for name, law in recipe["tensors"].items()]
    head = f'{{"seed": {seed}, "tensors": {{\n'
    text = head + ",\n".join(lines) + "\n}}\n"
    _compress(folder / RECIPE.removesuffix(PACKED), text.encode())
    for name in description(folder):
        if name.endswith(".wav"):
            _to_flac(folder / name)
        elif name != CHECKPOINT and name.endswith(LARGE):
            _compress(folder / name, (folder / name).read_bytes())


def _law(tensor: Tensor, numbers: Doubles | None) -> tuple[float, float | None]:
    """Mean and spread that a tensor was drawn with: norms vary around 1, the others around 0.

    The spread is measured, then taken as the round number, divided by the root of what goes into
    one output, that lies nearest.
    """
    if numbers is None:
        return 0.0, None
    mean = 1.0 if tensor.dim() == 1 and abs(float(tensor.float().mean()) - 1) < 0.2 else 0.0
    large = np.abs(numbers) > 0.5
    ratios = (tensor.double().view(-1).numpy()[large] - mean) / numbers[large]
    spread = float(np.median(ratios))
    if tensor.dim() == 1:
        return mean, round(spread, 2)
    for fan in (tensor[0].numel(), tensor[0].numel() // 6, tensor.shape[0], 1):
        rounded = round(spread * math.sqrt(fan), 1) / math.sqrt(fan)
        if rounded and abs(spread / rounded - 1) < 2e-3:
            return mean, rounded
    return mean, spread


def _decompress(path: Path) -> bytes:
    return lzma.decompress(path.read_bytes())


def _compress(path: Path, content: bytes) -> None:
    packed = path.with_name(path.name + PACKED)
    packed.write_bytes(lzma.compress(content, filters=WORDS))


def _wav(path: Path) -> bytes:
    samples, rate = soundfile.read(path, dtype="int16")
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="WAV", subtype="PCM_16")
    return content.getvalue()


def _to_flac(path: Path) -> None:
    samples, rate = soundfile.read(path, dtype="int16")
    packed = path.with_name(path.name + SOUND)
    soundfile.write(packed, samples, rate, subtype="PCM_16", compression_level=1.0)


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
