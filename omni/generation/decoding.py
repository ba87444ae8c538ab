"""The language model one step at a time: its cache, and the ids it has seen or is about to see.

Knows: embeddings in, the last hidden state out; which ids stand in the context, what they hold and
how many of them are in the cache; how long each kind of work took.
Does not know: what the ids mean, how the next one is chosen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from omni import threads
from omni.generation.captured_steps import CapturedSteps
from omni.generation.session_cache import Key
from omni.libraries.hugging_face import DynamicCache
from omni.model.layers.key_values import KeyValues
from omni.model.protocols import SpeakingModel

PREFILL_CHUNK = 1024  # positions a pass: bounds its memory, and how long a stop has to wait
Phase = Literal["encode_s", "prefill_s", "text_s", "audio_s"]


@dataclass
class Timings:
    """What a run has taken so far; filled while it goes on. The names are those of TurnStats.

    A step's time ends when its result is known on the host, so a device's work is in it. The time
    in which the consumer of the events holds the turn up is in none of them.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0  # of the prompt, that the session's last context held already
    text_tokens: int = 0  # that were taken
    audio_frames: int = 0  # that were yielded
    encode_s: float = 0.0
    prefill_s: float = 0.0  # the prompt's pass, with the first step that reads it
    text_s: float = 0.0
    audio_s: float = 0.0

    @contextmanager
    def measure(self, phase: Phase) -> Iterator[None]:
        """Adds the time inside to ``phase``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, phase, getattr(self, phase) + time.perf_counter() - start)


class ModelRunner:
    """The language model behind a past that grows with every call.

    The whole of generation goes through these methods; what runs behind :meth:`step` changes
    nothing else.
    """

    def __init__(self, model: SpeakingModel) -> None:
        """``model``: one that gives no memory of its own gets a dynamic cache."""
        self._model = model
        self._past = model.new_key_values()
        self._cache: KeyValues | DynamicCache = DynamicCache() if self._past is None else self._past

    @property
    def length(self) -> int:
        """Positions in the past."""
        return int(self._cache.get_seq_length())

    def resume(self, past: KeyValues) -> None:
        """Goes on from ``past``, which is used up."""
        if self._past is not None:
            self._past = self._cache = past

    def result(self) -> KeyValues | None:
        """The past, to be resumed once by another; None where it cannot be."""
        if self._past is not None:
            self._past.trim()
        return self._past

    @torch.inference_mode()
    def prefill(self, embeds: Tensor) -> Tensor:
        """Feeds embeddings (1, positions, hidden); the last hidden state (1, hidden)."""
        return self._model.hidden(embeds, past_key_values=self._cache)[:, -1]

    @torch.inference_mode()
    def step(self, embeds: Tensor) -> Tensor:
        """Feeds one embedding (1, 1, hidden); its hidden state (1, hidden)."""
        return self._model.hidden(embeds, past_key_values=self._cache)[:, 0]

    @torch.inference_mode()
    def crop(self, length: int) -> None:
        """Forgets everything after the first ``length`` positions."""
        surplus = self.length - length
        if surplus <= 0:
            return
        if isinstance(self._cache, KeyValues):
            self._cache.crop(length)
        else:
            self._cache.crop(-surplus)  # negative: how many to remove, in every version


class CapturedRunner(ModelRunner):
    """The same with captured steps, whose memory it borrows for a run."""

    def __init__(self, captured: CapturedSteps) -> None:
        """``captured``: acquired, for as long as this is used."""
        self._model = captured.model
        self._captured = captured
        self._past = self._cache = captured.past
        captured.past.crop(0)

    @torch.inference_mode()
    def resume(self, past: KeyValues) -> None:
        """Goes on from a copy of ``past``."""
        self._captured.reserve(past.length)
        self._captured.past.copy_from(past)

    @torch.inference_mode()
    def result(self) -> KeyValues | None:
        """A copy of the past."""
        return self._captured.past.copy()

    @torch.inference_mode()
    def prefill(self, embeds: Tensor) -> Tensor:
        """Feeds embeddings (1, positions, hidden); the last hidden state (1, hidden)."""
        self._captured.reserve(embeds.shape[1])
        return super().prefill(embeds)

    @torch.inference_mode()
    def step(self, embeds: Tensor) -> Tensor:
        """Feeds one embedding; its hidden state, good until the next step."""
        return self._captured.step(embeds)


class Context:
    """The ids of a run, and the embeddings of those that the cache does not hold yet.

    The last id is never in the cache before :meth:`hidden` is asked for what follows it, so it can
    be exchanged for nothing.
    """

    def __init__(self, decoder: ModelRunner, check: Callable[[], None]) -> None:
        """``check`` is called before each pass of the model; what it raises ends the run."""
        self.ids: list[int] = []
        self.keys: list[Key] = []  # what each position holds
        self.started = False  # whether anything has been fed
        self._decoder = decoder
        self._check = check
        self._waiting: list[Tensor] = []  # each (1, n, hidden)

    def resume(self, ids: Sequence[int], keys: Sequence[Key]) -> None:
        """Begins with ids that the decoder's past holds already."""
        assert not self.ids and self._decoder.length == len(ids) == len(keys)
        self.ids.extend(ids)
        self.keys.extend(keys)

    def extend(self, ids: Sequence[int], embeds: Tensor, keys: Sequence[Key] | None = None) -> None:
        """Appends ids with their embeddings (1, ids, hidden).

        ``keys``: what the positions hold; None: the ids stand for themselves.
        """
        self.ids.extend(ids)
        self.keys.extend(ids if keys is None else keys)
        self._waiting.append(embeds)

    def drop(self) -> None:
        """Takes the last id away, out of the cache too if it is there already."""
        self.ids.pop()
        self.keys.pop()
        if not self._waiting:
            self._decoder.crop(len(self.ids))
            return
        rest = self._waiting.pop()[:, :-1]
        if rest.shape[1]:
            self._waiting.append(rest)

    @torch.inference_mode()
    def hidden(self) -> Tensor:
        """Feeds what waits and returns the hidden state behind the last id: (1, hidden)."""
        device = self._waiting[0].device
        embeds = self._waiting[0]
        if len(self._waiting) > 1:
            embeds = torch.cat([chunk.to(device) for chunk in self._waiting], dim=1)
        self._waiting.clear()
        for chunk in embeds.split(PREFILL_CHUNK, dim=1):
            self._check()
            threads.COUNT.settle()
            feed = self._decoder.step if embeds.shape[1] == 1 else self._decoder.prefill
            state = feed(chunk)
            self.started = True
        return state
