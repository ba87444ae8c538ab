"""Products of one row and of many in 16, 8 and 4 bits on the CPU, at the published layers' sizes.

Knows: how such layers are made and timed, bitsandbytes' own way beside ours. Does not know: models.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import bitsandbytes as bnb
import torch
from torch import Tensor, nn

from benchmarks.lib.rows import Row
from omni.model.layers.linear import Linear, use_fast_products

SIZES = ((3584, 3584), (3584, 18944))  # inputs, outputs: attention, feed-forward
ROWS = (1, 17, 256)  # a token, a short question, a chunk of a long prompt
REPEATS = 5


def layers(inputs: int, outputs: int) -> Iterator[tuple[str, nn.Module]]:
    """Each kind of layer with the same weights: 16 bits, 8 and 4 bits by bitsandbytes and ours."""
    weight = torch.randn(outputs, inputs, dtype=torch.bfloat16) / inputs**0.5
    plain = Linear(inputs, outputs, bias=False, dtype=torch.bfloat16)
    plain.weight = nn.Parameter(weight, requires_grad=False)
    yield "16bit", plain
    for name in ("8bit.library", "8bit"):
        eight: Any = bnb.nn.Linear8bitLt(
            inputs, outputs, False, has_fp16_weights=False, threshold=6.0
        )
        eight.weight = bnb.nn.Int8Params(weight, requires_grad=False)
        yield name, _ours(eight.to("cpu").eval(), name)
    for name in ("4bit.library", "4bit.widened", "4bit"):
        four: Any = bnb.nn.Linear4bit(inputs, outputs, False, torch.bfloat16, quant_type="nf4")
        four.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type="nf4")
        four = four.to("cpu").eval()
        if name != "4bit":  # as on a CPU that does not multiply bfloat16
            four.support_avx512bf16_for_cpu = False
        yield name, _ours(four, name)


def _ours(layer: nn.Module, name: str) -> nn.Module:
    if "library" not in name:
        use_fast_products(nn.Sequential(layer))
    return layer


def shortest_ms(work: Callable[[], object]) -> float:
    """The shortest of some runs, after one to warm up."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


@torch.inference_mode()
def product_rows() -> Iterator[Row]:
    """Milliseconds of each kind of layer for each number of rows."""
    for inputs, outputs in SIZES:
        x: Tensor = torch.randn(max(ROWS), inputs, dtype=torch.bfloat16)
        for name, layer in layers(inputs, outputs):
            for rows in ROWS:
                taken = shortest_ms(partial(layer, x[:rows]))
                yield Row(f"product.{inputs}x{outputs}.{name}.{rows}_rows_ms", taken)
