"""The golden data: what the published code computed on a tiny random checkpoint.

The folder comes from the environment variable OMNI_GOLDEN (default: tests/golden/published). Any
set of the same layout works; nothing here assumes a size, a name of an input or a seed.
"""

from __future__ import annotations

import json
import os
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tests.support.golden_pack import RECIPE, unpack
from tests.support.root import ROOT

DEFAULT_FOLDER = ROOT / "tests" / "golden" / "published"


class GoldenSet:
    """A folder with ckpt/, golden/, inputs/ and, where its licence allows, tokenizer files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoint = folder / "ckpt"

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """Every tensor of golden/<name>.safetensors."""
        return load_file(self.folder / "golden" / f"{name}.safetensors")

    def json(self, name: str) -> Any:
        """golden/<name>.json."""
        return json.loads((self.folder / "golden" / f"{name}.json").read_text(encoding="utf-8"))

    def input(self, name: str) -> Path:
        """An input file by the name that the golden data give it (``inputs/short.wav``)."""
        return self.folder / name

    @cached_property
    def config(self) -> dict[str, Any]:
        """The checkpoint's config.json."""
        return json.loads((self.checkpoint / "config.json").read_text(encoding="utf-8"))

    @cached_property
    def tokenizer(self) -> Path | None:
        """The folder with the tokenizer files; None where the set leaves them out."""
        for folder in (self.checkpoint, self.folder / "tokenizer"):
            if (folder / "vocab.json").exists() or (folder / "tokenizer.json").exists():
                return folder
        return None


@cache
def golden_set() -> GoldenSet:
    """The set that OMNI_GOLDEN names, or the one in the repository, unpacked where it lies."""
    folder = Path(os.environ.get("OMNI_GOLDEN", DEFAULT_FOLDER)).resolve()
    if (folder / RECIPE).exists():
        unpack(folder)
    return GoldenSet(folder)
