"""The probabilities of a draw for all ids, to compare with others'."""

from __future__ import annotations

import torch
from torch import Tensor

from omni.generation.sampling import adjust, candidates
from omni.options import Sampling


def probabilities(
    scores: Tensor,
    sampling: Sampling,
    seen: Tensor | None = None,
    banned: Tensor | None = None,
) -> Tensor:
    """What ``pick`` draws from: float32 (rows, size), rows sum to one."""
    adjusted = adjust(scores, sampling, seen, banned)
    likely, ids = candidates(adjusted, sampling)
    return torch.zeros_like(adjusted).scatter_(1, ids, likely)
