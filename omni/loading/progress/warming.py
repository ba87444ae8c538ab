"""A model's first answer, given to nobody: whatever is made at its first use is made while loading.

Few-bit weights laid out for the CPU, captured steps, the plans of libraries. Reports before each
layer, so that it can be broken off there.

Knows: a short turn, layers of stacks. Does not know: what a layer makes at its first use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from torch import nn

from omni.conversation import Conversation, Message, Text
from omni.events import EngineEvent, Progress
from omni.generation.between_layers import each_layer, layers_of
from omni.loading.progress.background import Report
from omni.options import GenerationOptions
from omni.requests import Request, TurnRequest

GREETING = Conversation(messages=(Message("user", (Text("Hello"),)),))
TOKENS, FRAMES = 2, 8  # of the answer: a token more than the prefill's, a chunk of sound
LONGEST_S = 4.0  # a slow model has done most things once long before its answer is over


def warm(
    model: nn.Module,
    layers: nn.ModuleList,
    run: Callable[[Request], Iterator[EngineEvent]],
    report: Report,
    begun: float = 0.0,
) -> None:
    """Have ``run`` answer once in text and sound. What ``report`` raises ends it.

    Args:
        model: all that works for an answer.
        layers: those of it that tell how far the answer is.
        begun: the share of warming that was done before.
    """
    stop, started = threading.Event(), time.monotonic()
    counted, count = set(layers), 0
    # The first pass makes most of what is made at first use: it is half of the work.
    first, rest = len(layers), len(layers) * (TOKENS + FRAMES - 1)

    def before(layer: nn.Module, rows: int) -> None:
        """One more layer begins."""
        nonlocal count
        count += layer in counted
        if count > first and time.monotonic() - started > LONGEST_S:
            stop.set()
        done = (min(count, first) / first + min(max(count - first, 0) / rest, 1)) / 2
        report(Progress("warm", begun + (1 - begun) * done, 1))

    with each_layer(layers_of(model), before):
        for _ in run(TurnRequest(GREETING, short, stop=stop)):
            pass
    report(Progress("warm", 1, 1))


def short(own: GenerationOptions) -> GenerationOptions:
    """Options of a short answer that is drawn as all others are."""
    return replace(
        own,
        speech=True,
        first_text=replace(own.first_text, max_new=TOKENS),
        audio=replace(own.audio, max_new=FRAMES),
        max_rounds=1,
        seed=0,
    )
