"""A checkpoint as files: found, checked against the architecture and measured without loading it.

Knows: config.json, safetensors headers, generation_config.json, where a vocoder may lie.
Does not know: the Hub (:mod:`omni.loading.hub`), devices, how tensors become a model.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from omni.errors import CheckpointError
from omni.loading.defaults import GenerationDefaults

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
VOCODER_FILES = ("hift.safetensors", "hift.pt")
VOCODER_FOLDERS = (".", "cosy24k_vocoder", "third_party/cosy24k_vocoder")
MODEL_TYPE = "omni"
SNAPSHOTS = "snapshots"  # the folder of versions of a model in the Hub's cache
POINTER = b"version https://git-lfs"  # how a file begins that Git LFS has not fetched
READ_SUFFIXES = {".json", ".txt", ".safetensors", ".pt"}
DEPTHS = {  # counts of layers in config.json
    "num_hidden_layers",
    "encoder_layers",
    "decoder_layers",
    "audio_head_transformer_layers",
    "depth",
    "prenet_nlayers",
    "num_mid_blocks",
    "n_blocks",
}


@dataclass(frozen=True)
class TensorInfo:
    """A tensor by the header of its file: safetensors' name of the dtype (``BF16``), shape."""

    dtype: str
    shape: tuple[int, ...]
    size: int = 0  # bytes in the file
    begin: int = 0  # and where in it they begin

    @property
    def elements(self) -> int:
        """The number of values."""
        return math.prod(self.shape)


class Checkpoint:
    """A folder in the published layout."""

    def __init__(self, folder: Path, name: str) -> None:
        """Args:
        folder: where the files are; a model's in the Hub's cache stands for its version there.
        name: what the person called it (a folder, a Hub id, ``nano``).
        """
        self.folder = cached_version(folder)
        self.name = name

    @property
    def revision(self) -> str:
        """The commit on the Hub whose files these are; "" where the folder is no cached version."""
        return self.folder.name if self.folder.parent.name == SNAPSHOTS else ""

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json.

        Raises:
            CheckpointError: missing, unreadable, or of another architecture.
        """
        if not self.folder.is_dir():
            raise CheckpointError(
                "checkpoint-missing",
                "{path} is not a folder: give a checkpoint's folder, the name of one on the "
                "Hugging Face Hub, or nano.",
                path=self.folder,
            )
        path = self.folder / "config.json"
        if not path.is_file():
            raise CheckpointError(
                "config-missing", "{path} has no config.json: is it a checkpoint?", path=self.folder
            )
        config = read_json(path)
        if config.get("model_type") != MODEL_TYPE:
            raise CheckpointError(
                "config-foreign",
                "{path} is a model of type {found}, and this program runs type omni only.",
                path=self.folder,
                found=config.get("model_type", "(none)"),
            )
        return config

    @cached_property
    def defaults(self) -> GenerationDefaults:
        """How this checkpoint likes to be used; the product's defaults where it says nothing.

        Raises:
            CheckpointError: generation_config.json is unreadable or names unknown settings.
        """
        path = self.folder / "generation_config.json"
        values = read_json(path).get("omni", {}) if path.is_file() else {}
        try:
            return GenerationDefaults.from_json(values)
        except (TypeError, AttributeError) as error:
            raise CheckpointError(
                "generation-config",
                "{path} has settings under `omni` that this program does not know ({detail}).",
                path=path,
                detail=error,
            ) from error

    @cached_property
    def weight_files(self) -> list[Path]:
        """The safetensors files.

        Raises:
            CheckpointError: none, or not all of them.
        """
        index = self.folder / INDEX_FILE
        if (self.folder / WEIGHTS_FILE).is_file():
            return [self.folder / WEIGHTS_FILE]
        if not index.is_file():
            pickles = any(self.folder.glob("*.bin")) or any(self.folder.glob("pytorch_model*"))
            if pickles:
                raise CheckpointError(
                    "weights-pickled",
                    "{path} has its weights as pickled .bin files, which can run foreign code and "
                    "are never opened: convert them to safetensors.",
                    path=self.folder,
                )
            raise CheckpointError(
                "weights-missing",
                "{path} has no weights ({file} or {index}): fetch it again.",
                path=self.folder,
                file=WEIGHTS_FILE,
                index=INDEX_FILE,
            )
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise broken_file(index)
        names = sorted({str(name) for name in weight_map.values()})
        missing = [name for name in names if not (self.folder / name).is_file()]
        if missing:
            raise CheckpointError(
                "shards-missing",
                "{path} lacks {count} of its {total} weight files ({names}): fetch it again.",
                path=self.folder,
                count=len(missing),
                total=len(names),
                names=_some(missing),
            )
        return [self.folder / name for name in names]

    @cached_property
    def tensors(self) -> dict[str, TensorInfo]:
        """Every tensor of the weight files.

        Raises:
            CheckpointError: a file is cut short or no safetensors.
        """
        found: dict[str, TensorInfo] = {}
        for path in self.weight_files:
            found |= read_header(path)
        return found

    def check_tensors(self, expected: Mapping[str, tuple[int, ...]]) -> None:
        """Compare with what the architecture of config.json has.

        Raises:
            CheckpointError: a tensor is missing, unexpected or of another shape.
        """
        missing = [name for name in expected if name not in self.tensors]
        unexpected = [name for name in self.tensors if name not in expected]
        reshaped = [
            name
            for name, shape in expected.items()
            if name in self.tensors and self.tensors[name].shape != tuple(shape)
        ]
        problems = [
            f"{len(names)} {what} ({_some(names)})"
            for what, names in (
                ("missing", missing),
                ("unexpected", unexpected),
                ("of another shape", reshaped),
            )
            if names
        ]
        if problems:
            raise CheckpointError(
                "weights-mismatch",
                "The tensors of {path} are not those that its config.json describes: {problems}. "
                "Fetch it again.",
                path=self.folder,
                problems=", ".join(problems),
            )

    def check_depth(self) -> None:
        """Compare the sizes of config.json that are counts of layers with the number of tensors.

        Even an empty layer takes memory, so this comes before a model is made. Each has a tensor.

        Raises:
            CheckpointError: ``config-deep``.
        """
        most = len(self.tensors)
        for key, count in _counts(self.config):
            if count > most:
                raise CheckpointError(
                    "config-deep",
                    "config.json of {path} asks for {count} ({key}), and the weight files have "
                    "{most} tensors: these files are of different checkpoints, fetch them again.",
                    path=self.folder,
                    count=count,
                    key=key,
                    most=most,
                )

    def check_pointers(self) -> None:
        """No file that is read is a pointer of Git LFS.

        Raises:
            CheckpointError: ``file-pointer``.
        """
        for path in sorted(self.folder.glob("*")) if self.folder.is_dir() else ():
            if path.suffix in READ_SUFFIXES and path.is_file():
                check_pointer(path)

    def parameters(self) -> int:
        """Values in the weight files."""
        return sum(tensor.elements for tensor in self.tensors.values())

    def vocoder(self) -> Path | None:
        """The vocoder's file beside the model; None where there is none."""
        return find_vocoder(self.folder)


def find_vocoder(folder: Path) -> Path | None:
    """The vocoder's file in ``folder`` or in the places below it that are usual."""
    for place in VOCODER_FOLDERS:
        for name in VOCODER_FILES:
            path = folder / place / name
            if path.is_file():
                return path
    return None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CheckpointError: unreadable, or something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))  # some editors write a mark
    except (OSError, ValueError, RecursionError) as error:
        raise broken_file(path) from error
    if not isinstance(values, dict):
        raise broken_file(path)
    return values


def read_header(path: Path) -> dict[str, TensorInfo]:
    """The tensors of a safetensors file: 8 bytes of length, that much JSON, then the data.

    Raises:
        CheckpointError: not such a file, or shorter or longer than its header says.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > size - 8:
                raise broken_file(path)
            header = json.loads(file.read(length))
        tensors = {
            name: TensorInfo(
                entry["dtype"],
                tuple(entry["shape"]),
                entry["data_offsets"][1] - entry["data_offsets"][0],
                8 + length + entry["data_offsets"][0],
            )
            for name, entry in header.items()
            if name != "__metadata__"
        }
        end = max(
            (e["data_offsets"][1] for n, e in header.items() if n != "__metadata__"), default=0
        )
    except (
        OSError,
        ValueError,
        struct.error,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise broken_file(path) from error
    if size != 8 + length + end:
        raise broken_file(path)
    return tensors


def check_pointer(path: Path) -> None:
    """A file is itself, and not Git LFS's note of where it lies.

    Raises:
        CheckpointError: ``file-pointer``.
    """
    try:
        with path.open("rb") as file:
            found = file.read(len(POINTER)) == POINTER
    except OSError:  # whoever reads it will say so
        return
    if found:
        raise CheckpointError(
            "file-pointer",
            "{path} is a pointer of Git LFS and not the file itself: run `git lfs pull` in its "
            "folder, or fetch it from its page.",
            path=path,
        )


def cached_version(folder: Path) -> Path:
    """The version that the Hub's cache holds where ``folder`` is a model's in it.

    That of ``main``, else the newest one; every other folder is itself.
    """
    snapshots = folder / SNAPSHOTS
    if (folder / "config.json").is_file() or not snapshots.is_dir():
        return folder
    try:
        main = snapshots / (folder / "refs" / "main").read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError):
        main = snapshots
    if main != snapshots and main.is_dir():
        return main
    versions = [version for version in snapshots.iterdir() if version.is_dir()]
    return max(versions, key=lambda version: version.stat().st_mtime, default=folder)


def _counts(values: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, int]]:
    """The numbers of layers, wherever they stand, and the lengths of lists."""
    for name, value in values.items():
        key = f"{within}{name}"
        if isinstance(value, Mapping):
            yield from _counts(value, f"{key}.")
        elif isinstance(value, list):
            yield key, len(value)
        elif name in DEPTHS and isinstance(value, int | float):
            yield key, int(min(value, sys.maxsize)) if value == value else sys.maxsize
    blocks = [values.get(name) for name in ("num_mid_blocks", "n_blocks")]
    if all(isinstance(count, int) for count in blocks):
        yield f"{within}n_blocks", math.prod(blocks)  # type: ignore[arg-type]


def broken_file(path: Path) -> CheckpointError:
    """The error for a file that cannot be read.

    Raises:
        CheckpointError: ``file-pointer``: it is not the file, but a pointer of Git LFS to it.
    """
    check_pointer(path)
    return CheckpointError(
        "file-broken", "{path} is broken or was not fetched to its end: fetch it again.", path=path
    )


def _some(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")
