"""The golden vocoder and its recorded cases, shared by the tests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from omni.model.vocoder.checkpoint import load_vocoder
from omni.model.vocoder.hift import HiFTVocoder
from tests.support.golden_set import golden_set


@dataclass(frozen=True)
class Case:
    """One recorded run: ``mel (1, bins, frames)`` and what the published code made of it."""

    mel: Tensor
    phase: Tensor  # (1, harmonics, 1), radians
    noise: Tensor  # (1, harmonics, samples)
    f0: Tensor  # (1, frames), Hz
    source: Tensor  # (1, samples, 1)
    conv_post: Tensor  # (1, n_fft + 2, samples / hop + 1)
    wave: Tensor  # (1, samples)


@lru_cache(maxsize=2)
def golden_vocoder(fold: bool = True) -> HiFTVocoder:
    """The vocoder of the golden set: do not change its weights."""
    with torch.inference_mode(False):
        return load_vocoder(golden_set().checkpoint / "hift.pt", fold=fold)


def cases() -> list[str]:
    """The names of the recorded runs."""
    return sorted(n.removesuffix(".mel") for n in golden_set().tensors("vocoder") if ".mel" in n)


def case(name: str) -> Case:
    """A recorded run; phases and noise that are not recorded were zero."""
    tensors = golden_set().tensors("vocoder")
    harmonics = golden_vocoder().m_source.harmonics
    zeros = torch.zeros(1, harmonics, tensors[f"{name}.wave"].shape[-1])
    return Case(
        phase=tensors.get(f"{name}.phase", zeros[..., :1]),
        noise=tensors.get(f"{name}.noise", zeros),
        **{
            part: tensors[f"{name}.{part}"] for part in ("mel", "f0", "source", "conv_post", "wave")
        },
    )
