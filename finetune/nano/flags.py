"""The flags of the training.

Knows: names, defaults, help. Does not know: what is done with them (:mod:`finetune.nano.train`).
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import get_args

import torch

from finetune.nano.domain.width import DomainWidth
from finetune.nano.examples.examples import ALL_TASKS
from finetune.nano.plan import STAGES
from omni.loading.nano import NANO_FOLDER


def parser() -> argparse.ArgumentParser:
    """The flags."""
    flags = argparse.ArgumentParser(description="Train the embedded checkpoint, or go on.")
    add = flags.add_argument
    add(
        "--out",
        type=Path,
        required=True,
        help="folder for features, examples, checkpoints and logs",
    )
    add("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    add("--utterances", type=int, default=20_000)
    add("--examples", type=int, default=40_000)
    add(
        "--first-example",
        type=int,
        default=0,
        metavar="N",
        help="number of the first example, to go on behind those that were learnt before",
    )
    add(
        "--tasks",
        nargs="+",
        choices=ALL_TASKS,
        default=(),
        help="write examples of these tasks only",
    )
    add("--width", choices=get_args(DomainWidth), default="full")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--workers", type=int, default=2)
    add(
        "--share", type=float, default=1.0, help="share of the steps that each stage is trained for"
    )
    add(
        "--rate",
        type=float,
        default=1.0,
        help="share of each stage's peak learning rate: less where learnt weights are to be kept",
    )
    add(
        "--minutes",
        type=float,
        default=math.inf,
        help="stop each stage after so many minutes; go on with the next call",
    )
    add("--target", type=Path, default=NANO_FOLDER, help="folder for the finished checkpoint")
    add(
        "--start", type=Path, help="begin with the weights of this checkpoint, not with random ones"
    )
    return flags
