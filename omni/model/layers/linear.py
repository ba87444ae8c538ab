"""Linear layers that are fast in 16 bits on CPUs that do not multiply 16 bits in hardware.

Knows: one product, and how it is computed where. Does not know: who multiplies what.

Such a CPU reads half the bytes of float32, which is all that counts for one row; but the library's
16-bit product of many rows is several times slower than its float32 one, as it unpacks its inputs
again and again. So one row is a matrix-vector product, and for many rows the weights are widened
block by block, each once, and multiplied in float32. Both round once; one row with a bias twice.
"""

from __future__ import annotations

import sys
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omni.devices import cpu_has_bfloat16

BLOCK = 1 << 20  # values widened at a time: 4 MB, which the caches hold


class Linear(nn.Linear):
    """``nn.Linear`` through :func:`linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        return linear(x, self.weight, self.bias)


def use_fast_products(model: nn.Module) -> None:
    """Let the linear layers of a loaded model that lie on a CPU multiply fast there.

    Plain ones multiply as :class:`Linear` does, those in few bits as of ``few_bits.py``.

    The language model is built of plain ones, since those are all that quantization replaces.
    """
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear
    if "bitsandbytes" in sys.modules:  # else nothing is in few bits
        from omni.model.layers.few_bits import use_fast_few_bits

        use_fast_few_bits(model)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``: (..., in) to (..., out), in the dtype of ``x``."""
    if weight.dtype == torch.float32 or not _widens(weight, x):
        return F.linear(x, weight, bias)
    rows = x.reshape(-1, x.shape[-1])
    if len(rows) == 1:
        out = torch.mv(weight, rows[0])
        if bias is not None:  # by itself: the product that adds it is six times slower
            out = out + bias
        return out.view(*x.shape[:-1], -1)
    return _widened(rows, weight, bias).view(*x.shape[:-1], -1)


def _widens(weight: Tensor, x: Tensor) -> bool:
    if weight.device.type != "cpu" or torch.is_grad_enabled():
        return False
    halves = (torch.bfloat16, torch.float16)
    return weight.dtype in halves and x.dtype == weight.dtype and not _multiplies_halves()


@cache
def _multiplies_halves() -> bool:
    return cpu_has_bfloat16()


def _widened(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    wide = rows.float()
    out = rows.new_empty(len(rows), len(weight))
    step = max(1, BLOCK // weight.shape[1])
    for start in range(0, len(weight), step):
        part = slice(start, start + step)
        shift = None if bias is None else bias[part].float()
        out[:, part] = F.linear(wide, weight[part].float(), shift)
    return out
