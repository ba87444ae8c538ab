"""An adapter as files: found or fetched, and held against the model before anything is loaded.

Knows: peft's layout (adapter_config.json, adapter_model.safetensors) and its names of tensors, the
folders that training leaves. Does not know: how an adapter is put to work.
Only safetensors are read; nothing of an adapter is ever executed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omni.errors import CheckpointError
from omni.events import Progress
from omni.loading import hub
from omni.loading.checkpoint import TensorInfo, check_pointer, read_header, read_json

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PICKLED_FILE = "adapter_model.bin"
FILES = (CONFIG_FILE, WEIGHTS_FILE)
RUN_FOLDER = "adapter"  # within the folder of a training
# Settings of peft under which a product is more than the sum of two; none of them is known here.
_UNKNOWN = (
    "use_dora",
    "use_qalora",
    "lora_bias",
    "fan_in_fan_out",
    "layer_replication",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "use_bdlora",
    "velora_config",
    "trainable_token_indices",
)
_PREFIX = "base_model.model."
_PAIR = re.compile(r"(.+)\.lora_([AB])\.weight")
# Weights that peft adapts by name where the module has none called weight.
_WEIGHTS = ("weight", "in_proj_weight")
_ALPHA = 8  # what peft scales by where a config says nothing
REPLACED = "model.visual_bridge_model."  # may come whole, in the place of the model's own
_FLOATS = {"F32", "F16", "BF16"}

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Pair:
    """What is added to one weight: ``scale`` times B times A."""

    low: str  # the name of A (rank, in) in the file
    high: str  # the name of B (out, rank) in the file
    scale: float


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter that is on the disk and fits the model; no weight was read yet."""

    name: str  # as it was asked for
    file: Path
    pairs: Mapping[str, Pair]  # by the name of the model's weight
    whole: Mapping[str, str]  # names in the file of what replaces a tensor, by that one's name
    rank: int  # the largest
    size: int  # bytes of its values


def find_adapter(name: str) -> Generator[Progress, None, Path]:
    """The folder of the adapter ``name``, fetched where need be.

    Args:
        name: a folder, that of a training, or a name on the Hugging Face Hub.

    Raises:
        CheckpointError: there is none, or its weights are pickled.
        ResourceError: the disk is too small for it.
    """
    path = Path(name).expanduser()
    if path.exists() or not hub.is_repository(name):
        folder = path
    else:
        folder = yield from hub.fetch(name, FILES)
    inner = folder / RUN_FOLDER
    if not (folder / CONFIG_FILE).is_file() and (inner / CONFIG_FILE).is_file():
        folder = inner
    if not (folder / CONFIG_FILE).is_file():
        raise CheckpointError(
            "adapter-missing",
            "{name} is no adapter: give a folder with {file}, or the name of one on the Hugging "
            "Face Hub.",
            name=name,
            file=CONFIG_FILE,
        )
    if not (folder / WEIGHTS_FILE).is_file():
        if (folder / PICKLED_FILE).is_file():
            raise CheckpointError(
                "adapter-pickled",
                "The adapter {name} has its weights as a pickled .bin file, which can run foreign "
                "code and is never opened: save it as safetensors.",
                name=name,
            )
        raise _broken(name, f"{WEIGHTS_FILE} is missing")
    return folder


def read_adapter(name: str, folder: Path, shapes: Shapes) -> AdapterFiles:
    """An adapter by its config and the header of its file.

    Args:
        shapes: of the model's weights, by name, as they are before any quantization.

    Raises:
        CheckpointError: broken, of another kind, or of another model.
    """
    file = folder / WEIGHTS_FILE
    check_pointer(file)
    config, tensors = read_json(folder / CONFIG_FILE), read_header(file)
    _check_kind(name, config)
    odd = sorted({info.dtype for info in tensors.values()} - _FLOATS)
    if odd:
        raise _broken(name, f"it has values of the type {odd[0]}")
    pairs, whole = _resolved(name, tensors, shapes)
    scaled = {
        target: Pair(low, high, _scale(name, config, target, tensors[low].shape[0]))
        for target, (low, high) in pairs.items()
    }
    ranks = [tensors[pair.low].shape[0] for pair in scaled.values()]
    size = sum(4 * info.elements for info in tensors.values())
    return AdapterFiles(name, file, scaled, whole, max(ranks, default=0), size)


def _check_kind(name: str, config: Mapping[str, Any]) -> None:
    kind = config.get("peft_type")
    more = [key for key in _UNKNOWN if config.get(key)]
    bias = config.get("bias", "none")
    if kind != "LORA" or more or bias != "none":
        found = kind if kind != "LORA" else (more[0] if more else f"bias {bias}")
        raise CheckpointError(
            "adapter-kind",
            "The adapter {name} is of a kind that this program does not run ({found}): it runs "
            "plain LoRA.",
            name=name,
            found=found or "(none)",
        )


def _resolved(
    name: str, tensors: Mapping[str, TensorInfo], shapes: Shapes
) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """The pairs and the whole tensors, by the model's weight that each is for."""
    sides: dict[str, dict[str, str]] = {}
    whole: dict[str, str] = {}
    for tensor in tensors:
        inner = tensor.removeprefix(_PREFIX)
        pair = _PAIR.fullmatch(inner)
        if pair is None:
            if not inner.startswith(REPLACED) or shapes.get(inner) != tensors[tensor].shape:
                raise _mismatch(name, inner)
            whole[inner] = tensor
            continue
        module = pair[1].replace(".base_layer", "")
        target = next((f"{module}.{w}" for w in _WEIGHTS if f"{module}.{w}" in shapes), None)
        if target is None:
            raise _mismatch(name, module)
        sides.setdefault(target, {})[pair[2]] = tensor
    if not sides and not whole:
        raise _broken(name, "it holds nothing")
    if whole and len(whole) != sum(shape.startswith(REPLACED) for shape in shapes):
        raise _broken(name, f"a part of {REPLACED.rstrip('.')} is missing")
    pairs: dict[str, tuple[str, str]] = {}
    for target, side in sides.items():
        if len(side) != 2:
            raise _broken(name, f"half of what belongs to {target} is missing")
        low, high = tensors[side["A"]].shape, tensors[side["B"]].shape
        flat = len(low) == len(high) == 2 and low[0] == high[1]
        if not flat or (high[0], low[1]) != tuple(shapes[target]):
            raise _mismatch(name, target)
        pairs[target] = side["A"], side["B"]
    return pairs, whole


def _scale(name: str, config: Mapping[str, Any], target: str, rank: int) -> float:
    """What the product is scaled by. Source: peft's LoRA, and rsLoRA."""
    alpha: Any = config.get("lora_alpha", _ALPHA)
    patterns = config.get("alpha_pattern") or {}
    module = target.rpartition(".")[0]
    for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
        if module == pattern or module.endswith(f".{pattern}"):
            alpha = value
    if not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise _broken(name, "lora_alpha is no number")
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _broken(name: str, reason: str) -> CheckpointError:
    return CheckpointError(
        "adapter-broken",
        "The adapter {name} is broken ({reason}): fetch it again, or train it anew.",
        name=name,
        reason=reason,
    )


def _mismatch(name: str, weight: str) -> CheckpointError:
    return CheckpointError(
        "adapter-mismatch",
        "The adapter {name} was trained on another model than this one ({weight} is not there or "
        "of another size): load the model that it belongs to.",
        name=name,
        weight=weight,
    )
