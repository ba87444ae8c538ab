"""What a training run consists of: the stages in order, and how long and how fast each learns.

Knows: steps and rates, what of them a run takes. Does not know: what a stage does
(:mod:`finetune.nano.train`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from finetune.nano.base.loop import LoopOptions
from finetune.nano.domain.width import DomainWidth
from finetune.nano.examples.parts import Task
from omni.loading.nano import NANO_FOLDER

Stage: TypeAlias = Literal[
    "features",
    "pitch",
    "vocoder",
    "tokenizer",
    "ears",
    "decoder",
    "flow",
    "decoded",
    "pitch_decoded",
    "vocoder_decoded",
    "vision",
    "examples",
    "language",
    "write",
]
STAGES: tuple[Stage, ...] = get_args(Stage)

LOOPS: Mapping[Stage, LoopOptions] = {
    "pitch": LoopOptions(2000, 2e-3, warmup=50),
    "vocoder": LoopOptions(20_000, 1.2e-3, betas=(0.8, 0.98), weight_decay=0.01, clip=10.0),
    "tokenizer": LoopOptions(12_000, 1.2e-3, warmup=100),
    "ears": LoopOptions(4000, 6e-4, warmup=100),
    "decoder": LoopOptions(4000, 7e-4, warmup=50),
    "flow": LoopOptions(12_000, 3e-3, warmup=50),
    "vision": LoopOptions(10_000, 1.5e-3, warmup=60),
    "pitch_decoded": LoopOptions(1000, 1e-3, warmup=50),
    "vocoder_decoded": LoopOptions(5000, 5e-4, betas=(0.8, 0.98), weight_decay=0.01, clip=10.0),
    "language": LoopOptions(60_000, 1.5e-3, warmup=500),
}


@dataclass(frozen=True)
class Plan:
    """One training run, possibly in several calls."""

    folder: Path  # for features, examples, checkpoints and logs
    utterances: int = 20_000  # for the stages of sound
    examples: int = 40_000  # for the language stage
    width: DomainWidth = "full"
    device: str = "cpu"
    workers: int = 2  # processes that write features and examples
    share: float = 1.0  # of every stage's steps
    rate: float = 1.0  # of every stage's peak rate
    max_s: float = math.inf  # seconds for each stage in this call
    target: Path = NANO_FOLDER  # folder for the finished checkpoint
    start: Path | None = None  # a checkpoint whose weights stand in for stages not trained yet
    first_example: int = 0  # the number of the first example
    tasks: tuple[Task, ...] = ()  # of the examples; empty: all

    def loop(self, stage: Stage) -> LoopOptions:
        """The stage's options in this run."""
        usual = LOOPS[stage]
        return replace(
            usual,
            steps=max(1, round(usual.steps * self.share)),
            peak_rate=usual.peak_rate * self.rate,
            max_s=self.max_s,
        )
