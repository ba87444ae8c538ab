"""The checkpoint that adapters are trained on: found, checked, loaded as for the app.

Knows: device and precision of a training. Does not know: adapters, vocoders.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

import torch

from finetune.lora.options import LoraOptions, TrainingError
from omni import devices
from omni.config import OmniConfig
from omni.events import Progress
from omni.libraries import heap
from omni.loading import load
from omni.loading.checkpoint import Checkpoint
from omni.loading.placement import choose_model
from omni.loading.progress.background import in_background
from omni.loading.quantization import check_available
from omni.model.omni import OmniForCausalLM
from omni.prompting.tokenizer import OmniTokenizer

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Source:
    """A checkpoint on the disk, and where it will run; no weight was read yet."""

    name: str  # as it was asked for
    checkpoint: Checkpoint
    config: OmniConfig
    tokenizer: OmniTokenizer
    device: str  # one device
    dtype: torch.dtype
    dtype_reason: str


def find_source(options: LoraOptions) -> Source:
    """The checkpoint of the options, fetched where need be.

    Raises:
        CheckpointError: it cannot be found, is broken or of another architecture.
        ResourceError: device, dtype or quantization do not exist here.
    """
    device = one_device(options.device)
    devices.check_dtype(options.dtype)
    check_available(options.quantization, device)
    name = choose_model(options.model, options.quantization, device)
    checkpoint = told(load.find_checkpoint(name))
    checkpoint.check_pointers()
    config = load.read_config(checkpoint)
    tokenizer = OmniTokenizer.from_folder(checkpoint.folder)
    tokenizer.special.check(config)
    choice = devices.choose_dtype(device, checkpoint.parameters(), options.dtype)
    if choice.dtype == torch.float16:
        raise TrainingError(
            "dtype-float16",
            "In float16 gradients vanish: train in bfloat16 or, where the GPU has none, float32.",
        )
    return Source(name, checkpoint, config, tokenizer, device, choice.dtype, choice.reason)


def load_source(source: Source, options: LoraOptions) -> OmniForCausalLM:
    """The model of a source, every part of it on one device."""
    if options.quantization != "none" and source.device == "cpu":
        heap.return_large_blocks()  # every pass multiplies out every weight
    return told(
        in_background(
            lambda report: load.load_weights(
                source.checkpoint,
                source.config,
                source.dtype,
                {"": source.device},
                options.quantization,
                report,
            )
        )
    )


def one_device(wanted: str) -> str:
    """The device of this process: of several, each has its own (``LOCAL_RANK``)."""
    name = devices.choose_device(wanted).name
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0'))}" if name == "cuda" else name


def is_first() -> bool:
    """Whether this process is the one that talks and writes, of those of a training."""
    return int(os.environ.get("RANK", "0")) == 0


def told(work: Generator[Progress, None, T]) -> T:
    """What long work comes to, its progress told on stderr."""
    shown = is_first() and sys.stderr.isatty()
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            if shown:
                print("\r\033[K", end="", file=sys.stderr, flush=True)
            value: T = end.value
            return value
        if shown:
            share = f"{progress.done} of {progress.total}"
            print(f"\r\033[K{progress.stage} {share}", end="", file=sys.stderr, flush=True)
