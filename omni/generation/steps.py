"""One step of each phase: what the context says next, as a text id or as a frame of audio codes.

Knows: which scores a phase reads, what its repetition penalty counts, the random draws of a run.
Does not know: when a phase ends, what becomes of the result.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from omni.generation.captured_steps import CapturedDepthLoop
from omni.generation.decoding import Context
from omni.generation.inputs import frame_keys
from omni.generation.sampling import mark_seen, pick, random_source, seen_ids
from omni.model.protocols import SpeakingModel
from omni.options import Sampling


class Draws:
    """The random draws of one run: a generator for each device that scores come from.

    ``source``: the generator that captured steps draw from; all other draws on its device use it
    too.
    """

    def __init__(self, seed: int, source: torch.Generator | None = None) -> None:
        self.seed = seed
        self._sources: dict[torch.device, torch.Generator] = {}
        if source is not None:
            self._sources[source.device] = source.manual_seed(seed)

    def on(self, device: torch.device) -> torch.Generator:
        """The generator for scores on ``device``."""
        if device not in self._sources:
            self._sources[device] = random_source(self.seed, device)
        return self._sources[device]


class TextSteps:
    """The steps of one text call. The repetition penalty counts every id of the context."""

    def __init__(
        self,
        model: SpeakingModel,
        context: Context,
        sampling: Sampling,
        banned: Tensor,
        draws: Draws,
    ) -> None:
        """``banned``: bool (vocabulary rows,), ids that cannot be drawn."""
        self._model = model
        self._context = context
        self._sampling = sampling
        self._banned = banned
        self._draws = draws
        self._seen: Tensor | None = None
        self._drawn: Tensor | None = None

    @torch.inference_mode()
    def next(self) -> int:
        """Draws the id that follows the context, without putting it there."""
        scores = self._model.lm_head(self._context.hidden())
        if self._seen is None:  # now it is known where the scores are
            self._seen = seen_ids(self._context.ids, scores.shape[-1], scores.device)
            self._banned = self._banned.to(scores.device)
        source = self._draws.on(scores.device)
        self._drawn = pick(scores, self._sampling, self._seen, self._banned, source)
        return int(self._drawn.item())

    @torch.inference_mode()
    def take(self, token: int) -> None:
        """Puts the id just drawn into the context."""
        assert self._drawn is not None and self._seen is not None
        mark_seen(self._seen, self._drawn)
        table = self._model.get_input_embeddings()
        self._context.extend([token], table(self._drawn[None].to(table.weight.device)))


class DepthLoop:
    """The depth loop of one speech call: hidden states to frames of codes.

    The repetition penalty counts, for each codebook, the codes of this call alone.
    """

    def __init__(self, model: SpeakingModel, sampling: Sampling, draws: Draws) -> None:
        self._model = model
        self._sampling = sampling
        self._draws = draws
        self._seen: list[Tensor] = []  # one (1, codes) a codebook

    def _pick(self, codebook: int, scores: Tensor) -> Tensor:
        if codebook == len(self._seen):
            self._seen.append(torch.zeros_like(scores, dtype=torch.bool))
        seen = self._seen[codebook]
        codes = pick(scores, self._sampling, seen, source=self._draws.on(scores.device))
        mark_seen(seen, codes)
        return codes

    def __call__(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """``hidden`` (1, hidden) to codes (1, codebooks) and embedding (1, 1, hidden)."""
        codes = self._model.audio_head.generate(hidden, self._pick)
        return codes, self._model.embed_codes(codes)[:, None]


class SpeechSteps:
    """The steps of one speech call."""

    def __init__(
        self, context: Context, depth_loop: DepthLoop | CapturedDepthLoop, pad: int
    ) -> None:
        """
        Args:
            depth_loop: of this call.
            pad: the id under which a frame stands in the context.
        """
        self._context = context
        self._depth_loop = depth_loop
        self._pad = pad
        self._embed: Tensor | None = None
        self._codes: np.ndarray | None = None

    @torch.inference_mode()
    def next(self) -> np.ndarray:
        """Draws the frame that follows the context, without putting it there: int32 (codebooks,).

        The frame whose first code is the end class has nothing to say. The device is waited for
        here, once a frame.
        """
        codes, self._embed = self._depth_loop(self._context.hidden())
        self._codes = codes[0].to("cpu", torch.int32).numpy()
        return self._codes

    @torch.inference_mode()
    def take(self) -> None:
        """Puts the frame just drawn into the context."""
        assert self._embed is not None and self._codes is not None
        self._context.extend([self._pad], self._embed, frame_keys(self._codes[None]))
