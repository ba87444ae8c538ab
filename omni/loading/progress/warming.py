"""A model's first answer, given to nobody: whatever is made at its first use is made while loading.

Few-bit weights laid out for the CPU, captured steps, the plans of libraries. Reports before each
layer, so that it can be broken off there.

Knows: a short turn, layers of stacks. Does not know: what a layer makes at its first use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import nn

from omni.conversation import Conversation, Message, Text
from omni.events import EngineEvent, Progress
from omni.loading.progress.background import Report
from omni.loading.progress.pace import Pace
from omni.options import GenerationOptions
from omni.requests import Request, TurnRequest

GREETING = Conversation(messages=(Message("user", (Text("Hello"),)),))
TOKENS, FRAMES = 2, 8  # of the answer: a token more than the prefill's, a chunk of sound
LONGEST_S = 10.0  # a slow model has done most things once long before its answer is over


def warm(
    model: nn.Module,
    layers: nn.ModuleList,
    run: Callable[[Request], Iterator[EngineEvent]],
    report: Report,
) -> None:
    """Have ``run`` answer once in text and sound. What ``report`` raises ends it.

    Args:
        model: all that works for an answer.
        layers: those of it that tell how far the answer is.
    """
    total = len(layers) * (TOKENS + FRAMES)
    stop, started, done = threading.Event(), time.monotonic(), 0
    pace, counted = Pace(), set(layers)

    def before(layer: nn.Module) -> None:
        """One more layer begins."""
        nonlocal done
        done = min(done + (layer in counted), total)
        if done > len(layers) and time.monotonic() - started > LONGEST_S:
            stop.set()
        report(Progress("warm", done, total, left_s=pace.left_s(done, total)))

    with each_layer(model, before):
        for _ in run(TurnRequest(GREETING, short, stop=stop)):
            pass
    report(Progress("warm", total, total))


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


@contextmanager
def each_layer(model: nn.Module, before: Callable[[nn.Module], None]) -> Iterator[None]:
    """Call ``before(layer)`` before any layer of a stack of ``model`` runs; it may raise."""

    def told(layer: nn.Module, inputs: Any) -> None:
        before(layer)

    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    hooks = [one.register_forward_pre_hook(told) for one in {m for stack in stacks for m in stack}]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
