"""A checkpoint quantized once: everything of it written into a folder of its own.

Knows: which files belong to a checkpoint, shards and their index, what config.json says of few
bits. Does not know: where the folder lies (:mod:`omni.loading.kept.shelf`), how it appears whole
(:mod:`omni.loading.kept.folders`).

Part by part, so that memory holds one shard and one matrix.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from omni.errors import CheckpointError
from omni.events import Progress
from omni.libraries import heap
from omni.loading.checkpoint import INDEX_FILE, WEIGHTS_FILE, Checkpoint
from omni.loading.kept.checkpoint import KEY, QuantizedCheckpoint
from omni.loading.kept.folders import appearing, check_room
from omni.loading.kept.layout import ITEM_BYTES, NAME_BYTES, PARTS_BYTES, few_bits
from omni.loading.kept.tensor_file import write_tensors
from omni.loading.memory import tensor_bytes
from omni.loading.plans import Plan
from omni.loading.progress.background import Report, in_background
from omni.loading.progress.pace import Pace
from omni.loading.quantization import Quantization, check_available, is_quantized, stored_config
from omni.loading.values import WeightFiles
from omni.model.vocoder.kinds import CONFIG_FILE as VOCODER_CONFIG

SHARD_BYTES = 1_000_000_000  # of a file of weights, more only where one tensor has more
# What of a checkpoint's folder goes along; never code.
TEXT_FILES = ("*.json", "merges.txt", "LICENSE*", "NOTICE*")
NOT_COPIED = {INDEX_FILE, "config.json"}
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


@dataclass(frozen=True)
class Work:
    """What is quantized, and how."""

    source: Checkpoint  # not quantized
    vocoder: Path  # its file
    bits: Quantization  # 8bit or 4bit
    dtype: torch.dtype  # of what stays precise; few bits are made from it
    device: str = "cpu"  # that computes; the bits are those of a load there

    @property
    def bytes(self) -> int:
        """Of the whole folder on the disk, at most."""
        plan = Plan(self.bits)
        total = float(self.vocoder.stat().st_size)
        for name, info in self.source.tensors.items():
            total += tensor_bytes(name, info.shape, plan, self.dtype.itemsize)
            total += PARTS_BYTES if is_quantized(name, len(info.shape)) else NAME_BYTES
        return round(total) + sum(path.stat().st_size for path in self.text_files())

    def text_files(self) -> list[Path]:
        """Small files that are copied as they are."""
        folder = self.source.folder
        found = {path for pattern in TEXT_FILES for path in folder.glob(pattern)}
        vocoder = self.vocoder.parent / VOCODER_CONFIG
        if vocoder.is_file():
            found = {path for path in found if path.name != VOCODER_CONFIG} | {vocoder}
        return sorted(path for path in found if path.is_file() and path.name not in NOT_COPIED)


def own_dtype(checkpoint: Checkpoint) -> torch.dtype:
    """The dtype that most values of a checkpoint have."""
    counts = dict.fromkeys(DTYPES, 0)
    for info in checkpoint.tensors.values():
        if info.dtype in counts:
            counts[info.dtype] += info.elements
    return DTYPES[max(counts, key=lambda name: counts[name])]


def check_source(checkpoint: Checkpoint) -> None:
    """Only what is not quantized yet can be.

    Raises:
        CheckpointError: ``quantized-already``.
    """
    if isinstance(checkpoint, QuantizedCheckpoint):
        raise CheckpointError(
            "quantized-already",
            "{path} is in {bits} already: give the original.",
            path=checkpoint.name,
            bits=checkpoint.bits,
        )


def write(
    work: Work,
    target: Path,
    inside: str = ".",
    finish: Callable[[Path], None] = lambda folder: None,
) -> Generator[Progress, None, None]:
    """Quantize into ``target``, which appears when it is whole; yields progress in bytes read.

    Args:
        inside: the folder in ``target`` that becomes the checkpoint.
        finish: is given what becomes ``target`` when the checkpoint is in it.

    Raises:
        BusyError: ``kept-busy``, somebody writes the same folder.
        CheckpointError: ``quantized-already``, or weights that are no numbers.
        ResourceError: bitsandbytes is missing, or the disk is too small, full or read-only.
    """
    check_source(work.source)
    check_available(work.bits, work.device)
    check_room(work.bytes, target)

    def run(report: Report) -> None:
        """Everything, in a folder beside the target."""
        with appearing(target) as making:
            folder = making / inside
            folder.mkdir(exist_ok=True)
            _write_weights(work, folder, report)
            for path in work.text_files():
                shutil.copyfile(path, folder / path.name)
            shutil.copyfile(work.vocoder, folder / work.vocoder.name)
            _write_json(folder / "config.json", _config(work))
            finish(making)

    yield from in_background(run)


def _write_weights(work: Work, folder: Path, report: Report) -> None:
    now = Progress("keep", 0, 0)

    def look_up(name: str = "", size: int = 0) -> None:
        """Whether anybody still waits; called while a tensor is read, quantized, written."""
        report(now)

    files = WeightFiles(work.source.weight_files, look_up)
    sizes = {name: _bytes(work.source, name) for name in files.slices}
    total, done, pace = sum(sizes.values()), 0, Pace()
    shards = _Shards(folder, look_up)
    for name, tensor in files.slices.items():
        now = Progress("keep", done, total, "bytes", pace.left_s(done, total))
        shards.add(_converted(work, name, tensor[...], look_up))
        heap.trim()  # quantizing leaves holes in the heap
        done += sizes[name]
    shards.end()
    files.check(work.source.folder)
    report(Progress("keep", total, total, "bytes"))


def _converted(
    work: Work, name: str, tensor: Tensor, look_up: Callable[[], None]
) -> dict[str, Tensor]:
    """The tensors that are written for one of the source."""
    if is_quantized(name, tensor.dim()):
        return few_bits(name, tensor, work.bits, work.dtype, work.device, look_up)
    return {name: tensor.to(work.dtype) if tensor.is_floating_point() else tensor}


def _bytes(checkpoint: Checkpoint, name: str) -> int:
    info = checkpoint.tensors[name]
    return info.elements * ITEM_BYTES.get(info.dtype, 8)


class _Shards:
    """Files of weights, each written when it is full."""

    def __init__(self, folder: Path, look_up: Callable[[], None]) -> None:
        self._folder = folder
        self._look_up = look_up
        self._held: dict[str, Tensor] = {}
        self._written: list[list[str]] = []  # the names in each file
        self._total = 0

    def add(self, tensors: dict[str, Tensor]) -> None:
        """Tensors that stay together in a file."""
        size = sum(tensor.nbytes for tensor in tensors.values())
        held = sum(tensor.nbytes for tensor in self._held.values())
        if self._held and held + size > SHARD_BYTES:
            self._flush()
        self._held |= tensors
        self._total += size

    def end(self) -> None:
        """Write what is left, give the files their names, and write the index."""
        self._flush()
        count = len(self._written)
        names = [f"model-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)]
        if count == 1:
            self._part(0).rename(self._folder / WEIGHTS_FILE)
            return
        for number, name in enumerate(names):
            self._part(number).rename(self._folder / name)
        places = {
            tensor: name for name, held in zip(names, self._written, strict=True) for tensor in held
        }
        index = {"metadata": {"total_size": self._total}, "weight_map": places}
        _write_json(self._folder / INDEX_FILE, index)

    def _flush(self) -> None:
        write_tensors(self._part(len(self._written)), self._held, self._look_up)
        self._written.append(list(self._held))
        self._held = {}

    def _part(self, number: int) -> Path:
        return self._folder / f"part-{number}.safetensors"


def _config(work: Work) -> dict[str, object]:
    """config.json of the source, with what its weights are now.

    Without the names of Python files: none is copied.
    """
    values = {key: value for key, value in work.source.config.items() if key != "auto_map"}
    dtype = str(work.dtype).removeprefix("torch.")
    values.pop("torch_dtype", None)  # how older versions spell dtype
    return values | {"dtype": dtype, KEY: stored_config(work.bits, work.dtype)}


def _write_json(path: Path, values: object) -> None:
    text = json.dumps(values, indent=2, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")
