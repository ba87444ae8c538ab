"""What the tests of kept weights share: loads to their end, scores, places."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from omni.loading import load as loading
from omni.loading.kept import shelf
from omni.loading.kept.checkpoint import QuantizedCheckpoint
from omni.loading.kept.writing import Work, write
from omni.loading.load import LoadedModel
from omni.loading.quantization import Quantization
from omni.settings import EngineSettings

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load(settings: EngineSettings) -> tuple[LoadedModel, list[str]]:
    """What is loaded, and the stages on the way."""
    stages = []
    steps = loading.load(settings)
    while True:
        try:
            stages.append(next(steps).stage)
        except StopIteration as end:
            return end.value, list(dict.fromkeys(stages))


@torch.inference_mode()
def scores(loaded: LoadedModel) -> Tensor:
    """Of a text, a picture's worth of codes left out: the part that is quantized."""
    return loaded.model(input_ids=torch.arange(24)[None]).logits


def quantized(
    source: Path, out: Path, bits: Quantization = "4bit", dtype: str = "float32"
) -> QuantizedCheckpoint:
    """``source`` quantized into ``out``."""
    found = to_end(loading.find(str(source)))
    work = Work(found.checkpoint, found.vocoder_file, bits, DTYPES[dtype])
    to_end(write(work, out))
    return QuantizedCheckpoint(out, "quantized")


def to_end(steps):  # type: ignore[no-untyped-def]
    """What a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def names(folder: Path) -> list[str]:
    """Everything directly in ``folder``, also what is hidden."""
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def only_entry() -> shelf.Entry:
    """The one that is kept."""
    (entry,) = shelf.entries()
    return entry
