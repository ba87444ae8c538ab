"""The golden checkpoint as a model, its pictures and clips as patches, and how numbers compare."""

from __future__ import annotations

import json
import re
from functools import lru_cache

import torch
from torch import Tensor

from omni.media.image import ImagePatches
from omni.model.omni import OmniForCausalLM
from tests.support.golden_set import GoldenSet, golden_set

ATOL = 1e-4  # golden README.json: float32 of encoder, bridge, visual, llm, audio head, mel


@lru_cache(maxsize=2)
def golden_model(dtype: torch.dtype = torch.float32) -> OmniForCausalLM:
    """The checkpoint of the golden set, shared by the tests: do not change its weights."""
    return OmniForCausalLM.from_pretrained(golden_set().checkpoint, dtype=dtype).eval()


def pictures(golden: GoldenSet) -> dict[str, list[ImagePatches]]:
    """Patches by the key of visual.json: a picture's in a list of one, a clip's by frame."""
    tensors = golden.tensors("visual")
    found = {}
    for key, entry in golden.json("visual").items():
        if not isinstance(entry, dict) or "file" not in entry:
            continue
        if f"{key}.patches" in tensors:
            grid = tuple(entry["grid_thw"][1:])
            found[key] = [ImagePatches(tensors[f"{key}.patches"], grid)]
        else:
            found[key] = [
                ImagePatches(tensors[f"{key}.patches{index}"], tuple(grid[1:]))
                for index, grid in enumerate(entry["grid"])
            ]
    return found


def assert_close(have: Tensor, want: Tensor, atol: float = ATOL) -> None:
    """Equal shapes and no element further away than ``atol``; NaN fails."""
    assert have.shape == want.shape
    difference = (have.detach().double() - want.detach().double()).abs()
    worst = float(difference.max()) if want.numel() else 0.0
    assert worst <= atol, f"off by {worst:.2e}, allowed {atol:.0e}"


def names_of(file: str, *inputs: str) -> list[str]:
    """The tensors of golden/<file>.safetensors, less those whose last part is an input."""
    names = golden_set().tensors(file)
    return sorted(name for name in names if name.rsplit(".", 1)[-1] not in inputs)


def segments_of(prompt: str) -> list[tuple[str, str]]:
    """(kind, file) of the media segments of a golden prompt: ``<kind_start...>{"..": file}``."""
    segments = re.findall(r"<(\w+?)_start[^>]*>(\{.*?\})", prompt)
    return [(kind, next(iter(json.loads(body).values()))) for kind, body in segments]
