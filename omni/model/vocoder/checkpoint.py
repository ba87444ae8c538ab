"""The vocoder's file: reading it safely and making sure that it is one.

Knows: ``hift.pt`` and ``hift.safetensors``, the two spellings of weight norm, wrappings.
Does not know: where files come from, devices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from omni.errors import CheckpointError
from omni.model.vocoder.base import VocoderModel, VocoderSizes
from omni.model.vocoder.kinds import (
    CONFIG_FILE,
    new_vocoder,
    not_a_vocoder,
    read_vocoder_config,
)

MAX_WRAPPINGS = 3  # dictionaries around the tensors, as training programs save them
SHOWN_NAMES = 3
# torch.nn.utils.parametrizations.weight_norm's names, and the older ones, which we use.
SPELLINGS = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}


def load_vocoder(
    path: Path, config: VocoderSizes | None = None, *, fold: bool = True
) -> VocoderModel:
    """The vocoder of a file, on the CPU in float32, in evaluation mode.

    Args:
        path: ``hift.pt`` or a safetensors file.
        config: sizes; None: ``vocoder_config.json`` beside the file, or the published ones.
        fold: make it ready for inference alone, which is faster. False for training.

    Raises:
        CheckpointError: the file is missing, damaged, holds code, or is another network's.
    """
    if config is None:
        beside = path.parent / CONFIG_FILE
        config = read_vocoder_config(beside if beside.is_file() else None)
    try:
        vocoder = new_vocoder(config)
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        raise not_a_vocoder(path.parent / CONFIG_FILE, error) from error
    tensors = _tensors(path, vocoder.landmark)
    if fold:
        vocoder.adapt(tensors)
    _check(vocoder, tensors, path)
    vocoder.load_state_dict(tensors)
    if fold:
        vocoder.for_inference()
    return vocoder.eval()


def _tensors(path: Path, landmark: str) -> dict[str, Tensor]:
    """The file's tensors under our names."""
    content = _read(path)
    for tensors in _mappings(content):
        prefix = next((n.removesuffix(landmark) for n in tensors if n.endswith(landmark)), None)
        if prefix is not None:
            return {
                _our_name(name.removeprefix(prefix)): tensor.float()
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
    raise _foreign(path, f"no tensor is called {landmark}")


def _read(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(
            "vocoder-file-missing",
            "The vocoder's file {path} is missing: fetch the checkpoint again, with its vocoder.",
            path=path,
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged pickle raises has no bounds
        raise CheckpointError(
            "vocoder-broken",
            "The vocoder's file {path} cannot be read: it is damaged, or holds code (which is "
            "never run) beside its tensors. Fetch it again.",
            path=path,
        ) from error


def _mappings(content: Any, depth: int = MAX_WRAPPINGS) -> Iterator[dict[str, Tensor]]:
    """The tensors of ``content`` and of the mappings inside it."""
    if isinstance(content, Mapping):
        yield {str(n): tensor for n, tensor in content.items() if isinstance(tensor, Tensor)}
        for value in content.values() if depth else ():
            yield from _mappings(value, depth - 1)


def _our_name(name: str) -> str:
    for other, ours in SPELLINGS.items():
        if name.endswith(other):
            return name.removesuffix(other) + ours
    return name


def _check(vocoder: VocoderModel, tensors: Mapping[str, Tensor], path: Path) -> None:
    expected = vocoder.state_dict()
    problems = {
        "missing": [name for name in expected if name not in tensors],
        "unexpected": [name for name in tensors if name not in expected],
        "of another shape": [
            name
            for name, tensor in expected.items()
            if name in tensors and tensors[name].shape != tensor.shape
        ],
    }
    detail = ", ".join(
        f"{len(names)} {what} ({', '.join(names[:SHOWN_NAMES])}"
        f"{', ...' if len(names) > SHOWN_NAMES else ''})"
        for what, names in problems.items()
        if names
    )
    if detail:
        raise _foreign(path, detail)


def _foreign(path: Path, detail: str) -> CheckpointError:
    return CheckpointError(
        "vocoder-tensors",
        "The tensors of {path} are not this vocoder's: {detail}. Fetch it again, with its "
        "vocoder_config.json if it has one.",
        path=path,
        detail=detail,
    )
