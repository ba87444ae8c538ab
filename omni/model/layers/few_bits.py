"""Linear layers in 8 and 4 bits on a CPU: weights widened block by block, each block once.

Knows: how bitsandbytes stores its weights, which of its products are fast on a CPU.
Does not know: which layers are in few bits, devices other than the CPU. Needs bitsandbytes.

bitsandbytes' products are made for GPUs. On a CPU its product in 8 bits rounds the inputs to 8 bits
too and searches them for outliers, row by row; the one in 4 bits, where the CPU does not multiply
bfloat16, widens the whole matrix for every call, for one row or a thousand. Here a block of outputs
is widened into memory that the caches hold and multiplied at once; a few rows in 8 bits are
multiplied without widening at all. Inputs are not rounded. Where the CPU multiplies bfloat16,
bitsandbytes lays 4 bits out anew and multiplies them in groups of rows at the speed of 16 bits:
there its product stays.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import bitsandbytes as bnb
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.devices import cpu_has_bfloat16

BLOCK = 1 << 20  # values widened at a time: 2 or 4 MB, which the caches hold
FEW_ROWS = 4  # up to here 8 bits are multiplied as they are
INT8_MOST = 127.0  # the stored value of the largest weight of a row


class Linear8bit(bnb.nn.Linear8bitLt):
    """bitsandbytes' layer with :func:`eight_bits` where nothing is learnt on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        weight: Any = self.weight
        values, scales = weight.CB, weight.SCB
        if values is None:  # its own forward has moved them there
            values, scales = self.state.CB, self.state.SCB
        if values is None or not _answers(self, x):
            return super().forward(x)
        return eight_bits(x, values, scales, self.bias)


class Linear4bit(bnb.nn.Linear4bit):
    """bitsandbytes' layer with :func:`four_bits` where nothing is learnt on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        weight: Any = self.weight
        state = weight.quant_state
        laid_out_anew = self.support_avx512bf16_for_cpu or packed_anew(state)
        if state is None or laid_out_anew or not _answers(self, x):
            return super().forward(x)
        return four_bits(x, weight.data, state, self.bias)


def packed_anew(state: Any) -> bool:
    """Whether bitsandbytes has laid these 4 bits out for its own product on the CPU."""
    return bool(getattr(state, "packing_format_for_cpu", False))


def use_fast_few_bits(model: nn.Module) -> None:
    """Let bitsandbytes' layers of a loaded model that lie on the CPU multiply block by block."""
    ours = {bnb.nn.Linear8bitLt: Linear8bit, bnb.nn.Linear4bit: Linear4bit}
    for module in model.modules():
        kind = ours.get(type(module))
        if kind is not None and module.weight.device.type == "cpu":
            module.__class__ = kind


def _answers(layer: Any, x: Tensor) -> bool:
    here = x.device.type == "cpu" and layer.weight.device.type == "cpu"
    return here and x.numel() > 0 and not layer.training and not torch.is_grad_enabled()


def eight_bits(x: Tensor, values: Tensor, scales: Tensor, bias: Tensor | None = None) -> Tensor:
    """(..., in) times ``values`` int8 (out, in), each row of which is times its scale / 127.

    Args:
        scales: float32 (out,): the largest absolute weight of each row.
    """
    rows = x.reshape(-1, x.shape[-1])
    factors = scales.float() / INT8_MOST
    if len(rows) <= FEW_ROWS:
        # Scales of one: the operation would round ours to the dtype of the rows.
        out = torch._weight_int8pack_mm(rows.contiguous(), values, _ones(len(values), rows.dtype))
    else:
        out = _by_blocks(rows, len(values), lambda part, dtype: values[part].to(dtype))
    out = out.float() * factors
    if bias is not None:
        out += bias.float()
    return out.to(x.dtype).view(*x.shape[:-1], -1)


def four_bits(x: Tensor, packed: Tensor, state: Any, bias: Tensor | None = None) -> Tensor:
    """(..., in) times the matrix (out, in) that ``packed`` holds, two weights a byte.

    Args:
        packed: uint8, any shape, in the order of the matrix.
        state: bitsandbytes' QuantState, which has the scales.
    """
    outputs, inputs = state.shape
    rows, stretch = x.reshape(-1, inputs), state.blocksize
    packed = packed.view(torch.uint8).reshape(-1)
    scales = state.absmax
    if state.nested:
        scales = bnb.functional.dequantize_blockwise(scales, state.state2) + state.offset
    scales = scales.float()

    def wide(part: slice, dtype: torch.dtype) -> Tensor:
        begin, end = part.start * inputs, part.stop * inputs
        return torch.ops.bitsandbytes.dequantize_4bit(
            packed[begin // 2 : end // 2],
            scales[begin // stretch : -(-end // stretch)],
            stretch,
            state.quant_type,
            (part.stop - part.start, inputs),
            dtype,
        )

    # A block begins with a scale of its own and in a byte of its own.
    whole = inputs % stretch == 0
    out = _by_blocks(rows, outputs, wide, None if whole else outputs)
    if bias is not None:
        out = out.float() + bias.float()
    return out.to(x.dtype).view(*x.shape[:-1], -1)


def _by_blocks(
    rows: Tensor,
    outputs: int,
    wide: Callable[[slice, torch.dtype], Tensor],
    step: int | None = None,
) -> Tensor:
    """``rows`` (rows, in) times a matrix of which ``wide`` gives a block of rows: (rows, out).

    In the dtype of the rows where the CPU multiplies that, else float32.
    """
    dtype = rows.dtype if _multiplies(rows.dtype) else torch.float32
    rows = rows.to(dtype)
    out = rows.new_empty(len(rows), outputs)
    step = step or max(1, BLOCK // rows.shape[1])
    for start in range(0, outputs, step):
        part = slice(start, min(start + step, outputs))
        block = wide(part, dtype)
        if len(rows) == 1:
            torch.mv(block, rows[0], out=out[0, part])
        else:
            out[:, part] = F.linear(rows, block)
    return out


@cache
def _multiplies(dtype: torch.dtype) -> bool:
    return dtype == torch.float32 or (dtype == torch.bfloat16 and cpu_has_bfloat16())


@cache
def _ones(count: int, dtype: torch.dtype) -> Tensor:
    return torch.ones(count, dtype=dtype)
