"""Watching modules while a model runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def calls_of(modules: dict[str, nn.Module]) -> Iterator[dict[str, list[tuple[Any, Any]]]]:
    """(inputs, output) of every call of some modules, by their names."""
    calls: dict[str, list[tuple[Any, Any]]] = {name: [] for name in modules}

    def watch(name: str, module: nn.Module) -> Any:
        def keep(_module: nn.Module, inputs: Any, output: Any) -> None:
            calls[name].append((inputs, output))

        return module.register_forward_hook(keep)

    hooks = [watch(name, module) for name, module in modules.items()]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()
