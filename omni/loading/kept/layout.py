"""How bitsandbytes' weights lie in safetensors: which tensors stand for one matrix.

Knows: the names and sizes that transformers writes and reads (``weight.absmax``,
``weight.quant_state.bitsandbytes__nf4``, ``SCB``, ...). Does not know: files, which matrices are
quantized, models.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from omni.errors import CheckpointError
from omni.loading.checkpoint import TensorInfo
from omni.loading.quantization import Quantization, by_pieces

WEIGHT = ".weight"
STATE = ".weight.quant_state.bitsandbytes__"  # a small JSON as bytes; then nf4 or fp4
FOUR_BIT_PARTS = (".weight.absmax", ".weight.quant_map")
NESTED_PARTS = (".weight.nested_absmax", ".weight.nested_quant_map")
SCALES = ".SCB"  # of 8 bits, one a row
FORMAT = ".weight_format"  # of 8 bits; 0: row by row, the only one that is still written
STORED: dict[Quantization, str] = {"8bit": "I8", "4bit": "U8"}  # safetensors' dtype of a matrix
BLOCK = 64  # weights with one scale, in 4 bits
ITEM_BYTES = {"U8": 1, "I8": 1, "BF16": 2, "F16": 2, "F32": 4}
PARTS_BYTES = 4096  # what a matrix's tables, state and headers take at most beside its weights
NAME_BYTES = 512  # what a tensor takes in a header and an index


@dataclass(frozen=True)
class State:
    """What the JSON beside a 4-bit matrix says."""

    shape: tuple[int, ...]  # of the matrix
    dtype: str  # it was quantized from, and is multiplied out to
    blocksize: int  # weights with one scale
    nested: bool  # whether the scales are quantized themselves


def few_bits(
    name: str,
    weight: Tensor,
    bits: Quantization,
    dtype: torch.dtype,
    device: str,
    look_up: Callable[[], None] = lambda: None,
) -> dict[str, Tensor]:
    """The tensors on the CPU that stand for the matrix ``name`` in few bits.

    Bit for bit what a load in ``dtype`` on ``device`` quantizes: by the same calls.

    Args:
        name: of the matrix, ending in ``.weight``.
        weight: (out, in).
        look_up: called now and then; what it raises ends this.
    """
    with by_pieces(True, look_up):
        return _few_bits(name, weight, bits, dtype, device)


def _few_bits(
    name: str, weight: Tensor, bits: Quantization, dtype: torch.dtype, device: str
) -> dict[str, Tensor]:
    import bitsandbytes as bnb

    module = name.removesuffix(WEIGHT)
    weight = weight.to(device=device, dtype=dtype)
    if bits == "8bit":
        eight: Any = bnb.nn.Int8Params(weight.cpu(), requires_grad=False, has_fp16_weights=False)
        eight = eight.to(device)
        return {
            name: eight.data.cpu(),
            f"{module}{SCALES}": eight.SCB.cpu(),
            f"{module}{FORMAT}": torch.tensor(0, dtype=torch.uint8),
        }
    four: Any = bnb.nn.Params4bit(
        weight, requires_grad=False, compress_statistics=True, quant_type="nf4", blocksize=BLOCK
    )
    four = four.to(device)
    state: Mapping[str, Tensor] = four.quant_state.as_dict(packed=True)
    # A copy each: the tables are the same for all matrices, and a file has none twice.
    parts = {f"{name}.{part}": tensor.cpu().clone() for part, tensor in state.items()}
    return {name: four.data.cpu()} | parts


def whole(
    stored: Mapping[str, TensorInfo],
    bits: Quantization,
    state_of: Callable[[str], State],
    path: object,
) -> dict[str, TensorInfo]:
    """The tensors of the model that ``stored`` is in few bits: a matrix where its parts are.

    Args:
        state_of: reads the JSON tensor of that name.
        path: of the checkpoint, for the sentence.

    Raises:
        CheckpointError: ``quantized-broken``, a part is missing or of another size.
    """
    found: dict[str, TensorInfo] = {}
    used: set[str] = set()
    for name, info in stored.items():
        module = name.removesuffix(WEIGHT)
        if bits == "8bit" and f"{module}{SCALES}" in stored:
            parts = {name, f"{module}{SCALES}"}
            rows = info.shape[0] if info.shape else 0
            right = info.dtype == "I8" and stored[f"{module}{SCALES}"].elements == rows
            used.add(f"{module}{FORMAT}")
            shape = info.shape
        elif bits == "4bit" and (key := _state_name(module, stored)):
            state = state_of(key)
            wanted = [f"{module}{part}" for part in _parts(state)]
            right = _is_whole(name, state, stored, wanted)
            parts = {name, key, *wanted}
            shape = state.shape
        else:
            continue
        if not right:
            raise broken(path, name)
        used |= parts
        size = sum(stored[part].size for part in parts)
        found[name] = TensorInfo(STORED[bits], shape, size)
    rest = {name: info for name, info in stored.items() if name not in used}
    return found | rest


def read_state(data: bytes) -> State:
    """What a JSON tensor says.

    Raises:
        ValueError: it is none.
    """
    try:
        values = json.loads(data)
        return State(
            shape=tuple(int(size) for size in values["shape"]),
            dtype=str(values["dtype"]),
            blocksize=int(values["blocksize"]),
            nested="nested_blocksize" in values,
        )
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def is_part(name: str) -> bool:
    """Whether the tensor ``name`` belongs to a matrix in few bits."""
    parts = (*FOUR_BIT_PARTS, *NESTED_PARTS, SCALES, FORMAT)
    return name.endswith(parts) or STATE in name


def broken(path: object, name: str) -> CheckpointError:
    """The sentence for a matrix whose parts do not fit together."""
    return CheckpointError(
        "quantized-broken",
        "The quantized weights of {path} are not whole ({name}): fetch them again, or quantize "
        "the original once more (omni quantize).",
        path=path,
        name=name,
    )


def _state_name(module: str, stored: Mapping[str, TensorInfo]) -> str | None:
    names = (f"{module}{STATE}{kind}" for kind in ("nf4", "fp4"))
    return next((name for name in names if name in stored), None)


def _parts(state: State) -> tuple[str, ...]:
    return FOUR_BIT_PARTS + NESTED_PARTS if state.nested else FOUR_BIT_PARTS


def _is_whole(name: str, state: State, stored: Mapping[str, TensorInfo], wanted: list[str]) -> bool:
    """Whether the sizes of a 4-bit matrix's parts are those that its shape asks for."""
    if any(part not in stored for part in wanted) or state.blocksize < 1:
        return False
    weight = stored[name]
    values = math.prod(state.shape)
    packed = weight.elements * ITEM_BYTES.get(weight.dtype, 0) == math.ceil(values / 2)
    scales = stored[f"{name}.absmax"].elements == math.ceil(values / state.blocksize)
    return packed and scales
