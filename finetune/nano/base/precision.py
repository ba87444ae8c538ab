"""How the products of the training run are computed, chosen in one place.

Knows: bfloat16 where the device multiplies it in hardware; elsewhere it is many times slower than
float32. Attention written out on a CPU. Does not know: models.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from omni.devices import cpu_has_bfloat16


@contextmanager
def mixed_precision(device: torch.device) -> Iterator[None]:
    """The setting of every forward pass: bfloat16 products in hardware, else float32.

    On a CPU, attention is computed step by step: over a hundred positions the gradient of the fused
    kernel takes twice as long.
    """
    on_cpu = device.type == "cpu"
    in_hardware = not on_cpu or cpu_has_bfloat16()
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, torch.bfloat16, enabled=in_hardware))
        if on_cpu:
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield
