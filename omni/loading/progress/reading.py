"""Weights being read: bytes counted as they come, and whether anybody still waits for them.

Knows: the phases read and quantize, transformers' loop over tensors. Does not know: files, models.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from omni.events import Progress, Stage
from omni.libraries import heap
from omni.libraries.hugging_face import transformers_logging
from omni.loading.progress.background import Report
from omni.loading.progress.pace import Pace


class Reading:
    """Counts the bytes of the weights that were read, and reports them; from any thread."""

    def __init__(self, total: int, quantized: str | None, report: Report) -> None:
        """Args:
        total: bytes that there are.
        quantized: how the names of those tensors begin that are quantized as they come; None: none.
        """
        self._total, self._report = total, report
        self._quantized = quantized
        self._pace = Pace()
        self._lock = threading.Lock()
        self._done = 0
        self._progress = Progress("read", 0, total, "bytes")

    def read(self, name: str, size: int) -> None:
        """So many bytes more of the tensor ``name``."""
        stage: Stage = "read"
        if self._quantized is not None and name.startswith(self._quantized):
            stage = "quantize"
        with self._lock:
            self._done += size
            if stage == "quantize" != self._progress.stage:
                self._pace.restart()
            left = self._pace.left_s(self._done, self._total)
            # What is quantized takes several times as long: before that nobody knows.
            if self._quantized is not None and stage == "read":
                left = None
            self._progress = Progress(stage, self._done, self._total, "bytes", left)
            progress = self._progress
        self._report(progress)

    def look_up(self) -> None:
        """Between two tensors: whether anybody still waits."""
        self._report(self._progress)


@contextmanager
def each_tensor(look_up: Callable[[], None]) -> Iterator[None]:
    """Call ``look_up`` before each tensor that transformers puts into a model in this thread."""
    thread = threading.get_ident()

    def hook(factory: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """The bar that was asked for; of this thread: its items, and no bar."""
        iterable = args[0] if args else options.get("iterable")
        if iterable is None or threading.get_ident() != thread:
            return factory(*args, **options)
        return _watched(iterable, look_up)

    if not hasattr(transformers_logging, "set_tqdm_hook"):  # old transformers: files tell alone
        yield
        return
    before = transformers_logging.set_tqdm_hook(hook)
    try:
        yield
    finally:
        transformers_logging.set_tqdm_hook(before)


def _watched(items: Iterable[Any], look_up: Callable[[], None]) -> Iterator[Any]:
    for item in list(items):
        look_up()
        yield item
        heap.trim()  # quantizing leaves holes in the heap
