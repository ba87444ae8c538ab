"""Between two layers of a long pass: somebody may be told, or break it off.

Knows: stacks of layers, rows. Does not know: what a layer computes.

A long prompt takes minutes on a CPU, in a few passes. Whoever stops such a turn does not wait for
the end of one. (The encoders of media look after themselves, :mod:`omni.generation.inputs`.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from omni.media.limits import DecodingStopped
from omni.model.omni import OmniForCausalLM

MANY_ROWS = 32  # a step of generation has one, and is over before it could be broken off

Before = Callable[[nn.Module, int], None]  # gets the layer and the rows of its input


def layers_of(model: nn.Module) -> Iterator[nn.Module]:
    """The layers of all stacks of a model."""
    for module in model.modules():
        if isinstance(module, nn.ModuleList):
            yield from module


@contextmanager
def each_layer(layers: Iterable[nn.Module], before: Before) -> Iterator[None]:
    """Call ``before`` before any of ``layers`` runs; it may raise."""

    def told(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        first = inputs[0] if inputs else None
        rows = (
            first.numel() // first.shape[-1] if isinstance(first, Tensor) and first.numel() else 0
        )
        before(layer, rows)

    hooks = [layer.register_forward_pre_hook(told) for layer in set(layers)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def stopping(model: OmniForCausalLM, stop: threading.Event) -> Iterator[None]:
    """The language model's passes of many rows end at their next layer once ``stop`` is set.

    Raises:
        DecodingStopped: inside such a pass, whose keys and values are worth nothing then.
    """

    def before(layer: nn.Module, rows: int) -> None:
        if rows >= MANY_ROWS and stop.is_set():
            raise DecodingStopped

    with each_layer(model.model.layers, before):
        yield
