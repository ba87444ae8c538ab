"""Steps captured as CUDA graphs: what a step launches is captured once and replayed.

Knows: how a function of tensors at fixed places is captured, for which sizes, and when memory moves
so that a captured step is worth nothing any more.
Does not know: when a step is due, sampling's meaning, sessions.

A step of the language model is captured for each window of keys that it looks at (powers of two), a
frame's depth loop for each way of sampling, its draws included. A captured step reads and writes
fixed places: inputs are copied there before a replay, and results are good until the next one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeGuard, TypeVar

import torch
from torch import Tensor

from omni.generation.sampling import mark_seen, pick
from omni.model.layers.key_values import FixedWindow
from omni.model.omni import OmniForCausalLM
from omni.model.protocols import SpeakingModel
from omni.options import Sampling

logger = logging.getLogger(__name__)
WARM_UPS = 2  # runs before a capture, in which libraries set themselves up
FIRST_WINDOW = 512  # positions; the next ones double
T = TypeVar("T")


class CapturedStep(Generic[T]):
    """A function of tensors at fixed places as a CUDA graph; captured when it is made.

    ``source``: the random generator that the function draws from, if it draws.
    """

    def __init__(self, function: Callable[[], T], source: torch.Generator | None = None) -> None:
        state = None if source is None else source.get_state()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UPS):
                function()
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        if source is not None:
            self._graph.register_generator_state(source)
        # Other threads (speech is decoded in one) may go on using the device meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._result = function()
        if source is not None and state is not None:
            source.set_state(state)  # a seed means the same whether or not it was captured now

    def __call__(self) -> T:
        """Replays; the result stands at the same place every time."""
        self._graph.replay()
        return self._result


class CapturedSteps:
    """The captured steps of one model, and the one past that they work on.

    One run at a time may use them: where :meth:`acquire` was True, :meth:`release` must follow.
    """

    def __init__(self, model: OmniForCausalLM) -> None:
        """``model``: one for which it is :meth:`possible`."""
        past = model.new_key_values()
        assert past is not None
        self.model = model
        weight = model.model.norm.weight
        self.device: torch.device = weight.device
        self.past = past
        self.works = True  # False: capturing failed here once, and everything is run instead
        self.source = torch.Generator(device=self.device)
        self._embeds = torch.zeros(1, 1, len(weight), dtype=weight.dtype, device=self.device)
        self._position = torch.zeros(1, dtype=torch.int64, device=self.device)
        self._steps: dict[int, CapturedStep[Tensor]] = {}
        self._depth_loops: dict[Sampling, CapturedDepthLoop] = {}
        self._lock = threading.Lock()

    @staticmethod
    def possible(model: SpeakingModel) -> TypeGuard[OmniForCausalLM]:
        """Whether this model's steps can be captured: what they run is on one CUDA device, and no
        layer's work depends on values (the outliers of 8-bit layers are counted on the host).
        """
        if not isinstance(model, OmniForCausalLM) or model.new_key_values() is None:
            return False
        core = model.model
        parts = (core.layers, core.norm, core.audio_embed_layers, model.audio_head)
        devices = {parameter.device for part in parts for parameter in part.parameters()}
        kinds = {type(module).__name__ for part in parts for module in part.modules()}
        on_cuda = len(devices) == 1 and next(iter(devices)).type == "cuda"
        return on_cuda and "Linear8bitLt" not in kinds

    def acquire(self) -> bool:
        """Takes these for one run, unless another has them or capturing does not work here."""
        return self.works and self._lock.acquire(blocking=False)

    def release(self) -> None:
        """The run is over."""
        self._lock.release()

    def reserve(self, count: int) -> None:
        """Room for ``count`` more positions, and for a whole window around them."""
        window = _window(self.past.length + count)
        if self.past.reserve(window - self.past.length):
            self._steps.clear()  # they look where the memory was

    def forget(self) -> None:
        """Drops what was captured, so that it is captured again or, without ``works``, run."""
        self._steps.clear()
        self._depth_loops.clear()

    def step(self, embeds: Tensor) -> Tensor:
        """One embedding (1, 1, hidden) to its hidden state (1, hidden), good until the next."""
        self.reserve(1)
        self._embeds.copy_(embeds)
        self._position.fill_(self.past.length)
        window = _window(self.past.length + 1)
        if self.works and window not in self._steps:
            step = self.capture(lambda: self._run(window))
            if step is not None:
                self._steps[window] = step
        state = self._steps[window]() if window in self._steps else self._run(window)
        self.past.advance(1)
        return state

    def depth_loop(self, sampling: Sampling) -> CapturedDepthLoop:
        """The depth loop of one speech call that begins now."""
        if sampling not in self._depth_loops:
            self._depth_loops[sampling] = CapturedDepthLoop(self, sampling)
        depth_loop = self._depth_loops[sampling]
        depth_loop.begin()
        return depth_loop

    def _run(self, window: int) -> Tensor:
        fixed = FixedWindow(self.past, self._position, window)
        state: Tensor = self.model.hidden(self._embeds, past_key_values=fixed)
        return state[:, 0]

    def capture(
        self, function: Callable[[], T], source: torch.Generator | None = None
    ) -> CapturedStep[T] | None:
        """The captured step; None where that fails, which is slower and not wrong."""
        try:
            return CapturedStep(function, source)
        except RuntimeError:
            logger.warning("CUDA graphs do not work here; steps are run one by one", exc_info=True)
            self.works = False
            return None


class CapturedDepthLoop:
    """The depth loop of a frame with its draws, and the embedding that the frame has."""

    def __init__(self, owner: CapturedSteps, sampling: Sampling) -> None:
        self._owner = owner
        self._sampling = sampling
        sizes = owner.model.config.audio.codebook_sizes
        self._seen = [
            torch.zeros(1, size + (index == 0), dtype=torch.bool, device=owner.device)
            for index, size in enumerate(sizes)
        ]
        self._hidden: Tensor | None = None
        self._captured: CapturedStep[tuple[Tensor, Tensor]] | None = None

    def begin(self) -> None:
        """No code has been seen yet."""
        for seen in self._seen:
            seen.zero_()

    def __call__(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """``hidden`` (1, hidden) to codes (1, codebooks) and embedding (1, 1, hidden)."""
        if self._hidden is None:
            self._hidden = hidden.clone()
        self._hidden.copy_(hidden)
        if self._captured is None and self._owner.works:
            kept = [seen.clone() for seen in self._seen]  # warming up draws codes too
            self._captured = self._owner.capture(self._run, self._owner.source)
            for seen, before in zip(self._seen, kept, strict=True):
                seen.copy_(before)
        return self._run() if self._captured is None else self._captured()

    def _run(self) -> tuple[Tensor, Tensor]:
        assert self._hidden is not None
        codes = self._owner.model.audio_head.generate(self._hidden, self._pick)
        return codes, self._owner.model.embed_codes(codes)[:, None]

    def _pick(self, codebook: int, scores: Tensor) -> Tensor:
        seen = self._seen[codebook]
        codes = pick(scores, self._sampling, seen, source=self._owner.source)
        mark_seen(seen, codes)
        return codes


def _window(positions: int) -> int:
    window = FIRST_WINDOW
    while window < positions:
        window *= 2
    return window
