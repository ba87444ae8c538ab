"""Where the time of a turn goes: stretches of work by kind, noted from outside.

Knows: which public methods do which kind of work. Does not know: what the work is.
The methods are wrapped while a :class:`Recorder` is entered and are themselves again afterwards.
On a GPU each stretch waits for the device, so that its work is in it: measure speeds without.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from benchmarks.speed.naive import NaiveTurn
from omni.generation.decoding import Timings
from omni.model.audio.audio_tokenizer import AudioTokenizer
from omni.model.audio.mel_stream import MelStream
from omni.model.vocoder.hift import HiFTVocoder
from omni.model.vocoder.stream import VocoderStream
from omni.prompting.prompt import PromptBuilder

Kind = Literal["encode", "prefill", "text", "audio", "flow", "vocoder"]
KINDS: tuple[Kind, ...] = ("encode", "prefill", "text", "audio", "flow", "vocoder")
METHODS: dict[Kind, tuple[tuple[type, str], ...]] = {
    "encode": ((PromptBuilder, "build"), (NaiveTurn, "prompt")),
    "text": ((NaiveTurn, "next_token"),),
    "audio": ((NaiveTurn, "next_frame"),),
    # Codes to mel: the audio decoder and the prenet are a few percent of it.
    "flow": ((MelStream, "push"), (MelStream, "finish"), (AudioTokenizer, "decode")),
    "vocoder": (
        (VocoderStream, "push"),
        (VocoderStream, "preview"),
        (VocoderStream, "finish"),
        (HiFTVocoder, "forward"),
    ),
}
LEAST_S = 1e-4  # shorter stretches did nothing: a code that waits for others


@dataclass(frozen=True)
class Span:
    """A stretch of one kind of work, in seconds from the start of the recording."""

    kind: Kind
    start: float
    end: float


class Recorder:
    """Collects spans while it is entered, from all threads."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._zero = time.perf_counter()
        self._inside = threading.local()
        self._stack = ExitStack()

    def __enter__(self) -> Recorder:
        for kind, methods in METHODS.items():
            for owner, name in methods:
                self._replace(owner, name, self._wrapped(kind, getattr(owner, name)))
        self._replace(Timings, "measure", self._measured(Timings.measure))
        self._zero = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def now(self) -> float:
        """Seconds since it was entered."""
        return time.perf_counter() - self._zero

    @contextmanager
    def span(self, kind: Kind) -> Iterator[None]:
        """Notes the time inside, unless it is inside another span of this thread."""
        if getattr(self._inside, "yes", False):
            yield
            return
        self._inside.yes = True
        start = self.now
        try:
            yield
            if torch.cuda.is_available():
                torch.cuda.synchronize()
        finally:
            self._inside.yes = False
            end = self.now
            if end - start >= LEAST_S:
                self.spans.append(Span(kind, start, end))

    def busy(self, until: float | None = None) -> dict[Kind, float]:
        """Seconds of each kind, up to ``until``."""
        limit = self.now if until is None else until
        sums = dict.fromkeys(KINDS, 0.0)
        for span in self.spans:
            sums[span.kind] += max(0.0, min(span.end, limit) - span.start)
        return sums

    def _replace(self, owner: type, name: str, method: Callable[..., Any]) -> None:
        before = getattr(owner, name)
        setattr(owner, name, method)
        self._stack.callback(setattr, owner, name, before)

    def _wrapped(self, kind: Kind, method: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            with self.span(kind):
                return method(*args, **options)

        return wrapped

    def _measured(self, measure: Callable[..., Any]) -> Callable[..., Any]:
        kinds: dict[str, Kind] = {f"{kind}_s": kind for kind in KINDS}

        @contextmanager
        def measured(timings: Timings, phase: str) -> Iterator[None]:
            with self.span(kinds[phase]), measure(timings, phase):
                yield

        return measured
