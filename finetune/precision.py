"""In what precision matrix products of the training run, chosen in one place.

Knows: bfloat16 where the device multiplies it in hardware; elsewhere it is many times slower than
float32. Does not know: models.
"""

from __future__ import annotations

import torch

from omni.devices import cpu_has_bfloat16


def mixed_precision(device: torch.device) -> torch.autocast:
    """The autocast of every forward pass: bfloat16 in hardware, else off."""
    in_hardware = device.type != "cpu" or cpu_has_bfloat16()
    return torch.autocast(device.type, torch.bfloat16, enabled=in_hardware)
