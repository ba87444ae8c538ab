"""What a turn takes: its waiting, encoding, generating and decoding.

Knows: the clock, and what the phases of a turn are. Does not know: what is done in them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from omni.events import SPEECH_RATE, SpeechChunk, TurnStats
from omni.generation.loop import GenerationRun
from omni.speech.joining import Samples, pcm16


class TurnClock:
    """What a turn took since ``started`` (of ``time.perf_counter``); made when its work begins."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._waited_s = time.perf_counter() - started
        self._encode_s = 0.0
        self._vocode_s = 0.0
        self._first_text_s: float | None = None
        self._first_sound_s: float | None = None
        self._samples = 0

    def stopped(self) -> TurnStats:
        """The numbers of a turn that was stopped before anything was generated."""
        return TurnStats(total_s=self.elapsed())

    def elapsed(self) -> float:
        """Seconds since the turn was asked for."""
        return time.perf_counter() - self._started

    @contextmanager
    def encoding(self) -> Iterator[None]:
        """Counts the time inside as encoding."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._encode_s += time.perf_counter() - start

    def text_came(self) -> None:
        """Notes the first text."""
        if self._first_text_s is None:
            self._first_text_s = self.elapsed()

    def decoding(self, decode: Callable[[], Samples]) -> Callable[[], Samples | None]:
        """``decode``, its time counted as the vocoder's."""

        def timed() -> Samples | None:
            """The samples; None where there are none yet."""
            start = time.perf_counter()
            with torch.inference_mode():
                samples = decode()
            self._vocode_s += time.perf_counter() - start
            return samples if len(samples) else None

        return timed

    def sound(self, decoded: Iterator[Samples | None]) -> Iterator[SpeechChunk]:
        """What was decoded to sound, if anything, with the time of the first."""
        for samples in decoded:
            if samples is None:
                continue
            if self._first_sound_s is None:
                self._first_sound_s = self.elapsed()
            self._samples += len(samples)
            yield SpeechChunk(pcm16(samples))

    def stats(self, generation: GenerationRun) -> TurnStats:
        """The numbers of a turn that is over."""
        timings = generation.timings
        return TurnStats(
            prompt_tokens=timings.prompt_tokens,
            cached_tokens=timings.cached_tokens,
            text_tokens=timings.text_tokens,
            audio_frames=timings.audio_frames,
            encode_s=timings.encode_s + self._encode_s,
            prefill_s=timings.prefill_s,
            text_s=timings.text_s,
            audio_s=timings.audio_s,
            vocode_s=self._vocode_s,
            first_text_s=self._first_text_s,
            first_sound_s=self._first_sound_s,
            total_s=self.elapsed(),
            waited_s=self._waited_s,
            speech_s=self._samples / SPEECH_RATE,
            seed=generation.seed,
        )
