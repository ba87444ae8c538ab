"""A checkpoint whose weights are in few bits already, in the usual layout of bitsandbytes.

Knows: its config.json, its tensors as the architecture has them, who can run it.
Does not know: how it was made (:mod:`omni.loading.kept.writing`), how it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from omni.errors import CheckpointError, ResourceError
from omni.loading.checkpoint import Checkpoint, TensorInfo, read_json
from omni.loading.kept import layout
from omni.loading.quantization import Quantization, check_available, is_quantized
from omni.settings import QuantizationChoice

KEY = "quantization_config"  # of config.json
METHOD = "bitsandbytes"
MOST_NAMES = 3  # in a sentence


class QuantizedCheckpoint(Checkpoint):
    """A folder in the published layout, with the blocks' matrices in 8 or 4 bits."""

    @cached_property
    def bits(self) -> Quantization:
        """What config.json says.

        Raises:
            CheckpointError: ``quantized-foreign``, quantized by something else.
        """
        values = self.config[KEY]
        method = values.get("quant_method") if isinstance(values, dict) else None
        if method == METHOD and values.get("load_in_4bit"):
            return "4bit"
        if method == METHOD and values.get("load_in_8bit"):
            return "8bit"
        raise CheckpointError(
            "quantized-foreign",
            "{path} was quantized by {method}, and this program reads 8 and 4 bits of "
            "bitsandbytes only: take the original, or quantize it with omni quantize.",
            path=self.folder,
            method=method or "(unknown)",
        )

    @cached_property
    def tensors(self) -> dict[str, TensorInfo]:
        """Every tensor of the architecture, a matrix in few bits with the shape that it had.

        Raises:
            CheckpointError: a file is cut short, parts are missing, or not exactly the matrices
                that this program quantizes are in few bits.
        """
        stored = super().tensors
        found = layout.whole(stored, self.bits, self._state_of, self.folder)
        lost = sorted(name for name in found if layout.is_part(name))
        if lost:
            raise layout.broken(self.folder, lost[0])
        wrong = sorted(
            name
            for name, info in found.items()
            if is_quantized(name, len(info.shape)) != (info.dtype in layout.STORED.values())
        )
        if wrong:
            raise CheckpointError(
                "quantized-mixed",
                "{path} has other parts in few bits than this program runs ({names}): quantize "
                "the original with omni quantize.",
                path=self.folder,
                names=", ".join(wrong[:MOST_NAMES]),
            )
        return found

    def as_loaded(self, slices: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
        """``slices`` of the files, what is precise in ``dtype`` when it is read.

        transformers leaves every ``weight`` of a quantized checkpoint in the dtype of its file.
        """
        precise = set(self.tensors) & set(slices)
        precise -= {name for name in precise if self.tensors[name].dtype in layout.STORED.values()}
        return {
            name: _Cast(tensor, dtype) if name in precise else tensor
            for name, tensor in slices.items()
        }

    def _state_of(self, name: str) -> layout.State:
        try:
            with safe_open(self._file_of[name], framework="pt", device="cpu") as file:
                return layout.read_state(bytes(file.get_tensor(name).tolist()))
        except ValueError as error:
            raise layout.broken(self.folder, name) from error

    @cached_property
    def _file_of(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for path in self.weight_files:
            with safe_open(path, framework="pt", device="cpu") as file:
                found |= dict.fromkeys(file.keys(), path)
        return found


class _Cast:
    """A tensor of a file, in another dtype when it is read."""

    def __init__(self, inner: Any, dtype: torch.dtype) -> None:
        self._inner, self._dtype = inner, dtype

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __getitem__(self, index: Any) -> torch.Tensor:
        tensor: torch.Tensor = self._inner[index]
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor


def open_checkpoint(folder: Path, name: str) -> Checkpoint:
    """The checkpoint in ``folder``, quantized or not; nothing is checked yet."""
    plain = Checkpoint(folder, name)
    path = plain.folder / "config.json"
    try:
        values: dict[str, Any] = read_json(path) if path.is_file() else {}
    except CheckpointError:  # whoever reads it will say so
        return plain
    return QuantizedCheckpoint(folder, name) if values.get(KEY) is not None else plain


def bits_to_run(
    checkpoint: Checkpoint, wanted: QuantizationChoice, device: str
) -> QuantizationChoice:
    """The quantization to choose a plan for: ``wanted``, or the only one that the files have.

    Raises:
        CheckpointError: ``quantized-foreign``; ``quantized-otherwise``, other bits were asked for.
        ResourceError: ``quantized-device`` or ``quantized-missing``, it cannot run here.
    """
    if not isinstance(checkpoint, QuantizedCheckpoint):
        return wanted
    bits = checkpoint.bits
    if wanted not in ("auto", bits):
        raise CheckpointError(
            "quantized-otherwise",
            "{path} is in {have} already and cannot become {wanted}: choose quantization auto, or "
            "load the original.",
            path=checkpoint.name,
            have=bits,
            wanted=wanted,
        )
    try:
        check_available(bits, device)
    except ResourceError as error:
        if error.code == "quantization-device":
            raise ResourceError(
                "quantized-device",
                "{path} is in {bits}, which does not run on {device}: choose device cpu, or load "
                "the original.",
                path=checkpoint.name,
                bits=bits,
                device=device,
            ) from error
        raise ResourceError(
            "quantized-missing",
            "{path} is in {bits} and needs the package bitsandbytes, which is not installed here: "
            "run `pip install bitsandbytes`, or load the original.",
            path=checkpoint.name,
            bits=bits,
        ) from error
    return bits
