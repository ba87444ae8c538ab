"""4 bits laid out as bitsandbytes' product on a CPU reads them, before that product needs them.

Knows: that layout. Does not know: when it is made, other devices. Needs bitsandbytes.

On CPUs that multiply bfloat16, bitsandbytes lays a matrix out anew when its layer is first used, so
the first turn waits for it. Here it is done while loading, and faster, since bytes are turned into
bytes and not into integers of 32 bits on the way.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import bitsandbytes as bnb
import torch
from bitsandbytes import functional
from torch import Tensor, nn

ROWS = 32  # whose weights stand together: 16 in the lower half of each byte, 16 in the upper
HALF = ROWS // 2
TRIED = (64, 128)  # the matrix on which the layout is compared with bitsandbytes' own


def waiting(model: nn.Module) -> list[Any]:
    """The 4-bit layers that bitsandbytes would lay out anew at their first use."""
    return [module for module in model.modules() if _waits(module)]


def _waits(module: Any) -> bool:
    if not isinstance(module, bnb.nn.Linear4bit):
        return False
    weight: Any = module.weight
    here = weight.device.type == "cpu" and weight.quant_state is not None
    lays_out = bool(getattr(module, "support_avx512bf16_for_cpu", False))
    return here and lays_out and not getattr(weight.quant_state, "packing_format_for_cpu", False)


def lay_out(layer: Any) -> None:
    """Lay one layer's weights out, in place.

    Sizes that the layout has no room for are multiplied in the other way, where bitsandbytes would
    stop.
    """
    weight, state = layer.weight, layer.weight.quant_state
    rows, columns = state.shape
    if rows % ROWS or columns % state.blocksize:
        layer.support_avx512bf16_for_cpu = False
        return
    convert = _ours if is_known() else functional._convert_weight_packed_for_cpu
    weight.data, weight.quant_state = convert(weight.data, state)


@cache
def is_known() -> bool:
    """Whether this bitsandbytes has the layout that is made here."""
    random = torch.randn(TRIED, generator=torch.Generator().manual_seed(0))
    results = []
    for convert in (_ours, functional._convert_weight_packed_for_cpu):
        stored, state = functional.quantize_4bit(random, compress_statistics=True, quant_type="nf4")
        packed, state = convert(stored, state)
        results.append((packed, vars(state)))
    (ours, our_state), (theirs, their_state) = results
    return (
        torch.equal(ours, theirs)
        and our_state.keys() == their_state.keys()
        and all(_same(our_state[name], their_state[name]) for name in our_state)
    )


def _ours(stored: Tensor, state: Any) -> tuple[Tensor, Any]:
    """As ``bitsandbytes.functional._convert_weight_packed_for_cpu``, with the same results.

    Args:
        stored: (out x in / 2, 1), two weights a byte.
        state: of the matrix (out, in); changed.
    """
    if stored.dtype != torch.uint8:
        state.original_storage_type = stored.dtype
        stored = stored.view(torch.uint8)
    state.original_dtype, state.original_nested = state.dtype, state.nested
    state.original_qshape = stored.shape
    rows, columns = state.shape
    if state.nested:
        scales = functional.dequantize_blockwise(state.absmax, state.state2)
        state.absmax = (scales + state.offset).float()
        state.nested = False
        del state.state2
    scales = state.absmax.reshape(rows, columns // state.blocksize)
    state.absmax = scales.T.to(torch.bfloat16).contiguous()
    state.dtype, state.packing_format_for_cpu = torch.bfloat16, True
    return _packed(stored, rows, columns), state


def _packed(stored: Tensor, rows: int, columns: int) -> Tensor:
    """(out, in / 2): of 32 rows each pair of columns, and of 16 of them each row's two weights."""
    pairs = columns // 2
    halves = stored.reshape(rows // ROWS, 2, HALF, pairs)
    low, high = halves[:, 0], halves[:, 1]
    turned = stored.new_empty(rows // ROWS, HALF, 2, pairs)
    torch.bitwise_or(high & 0xF0, low >> 4, out=turned[:, :, 0])
    torch.bitwise_or(high << 4, low & 0x0F, out=turned[:, :, 1])
    return turned.view(rows // ROWS, ROWS, pairs).transpose(1, 2).reshape(rows, pairs)


def _same(have: Any, want: Any) -> bool:
    if isinstance(want, Tensor):
        return have.dtype == want.dtype and torch.equal(have, want)
    return bool(have == want)
