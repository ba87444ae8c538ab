"""A turn as the published code computes it, for comparison on the same machine.

Knows: what the published code does at each step (8 full passes of the audio head for a frame, a
pass of the vision tower over dummy pictures and text logits at every step, a cache that grows, two
guidance passes a flow step, whole segments decoded before any sound, and the first one held back
until a second one exists or the turn is over), put together from the model's own parts.
Does not know: how the project does it (:mod:`omni.generation.loop`, :mod:`omni.speech.decoder`).
What both sides share keeps the comparison on the kind side: the attention, the convolutions as
matrix products, the solver in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from omni.conversation import Conversation
from omni.generation.inputs import embed_id
from omni.generation.sampling import mark_seen, pick, random_source, seen_ids
from omni.loading.load import LoadedModel
from omni.media.image import ImagePatches
from omni.model.audio.flow import FlowOptions
from omni.model.audio_head import PositionWise
from omni.options import GenerationOptions, Sampling
from omni.prompting.prompt import PromptBuilder
from omni.prompting.slots import AudioSlot
from omni.speech.joining import join

DUMMY_GRID = (2, 2)  # patches of a dummy picture; there are two, one of them a frame
FADE = 600  # samples, as the published demo streams
Event = tuple[Literal["text", "sound"], Any]


class NaiveTurn:
    """One turn on ``loaded``; events are ``("text", piece)`` and ``("sound", samples)``."""

    def __init__(self, loaded: LoadedModel, seed: int = 0) -> None:
        self._loaded = loaded
        self._model: Any = loaded.model
        self._cache = DynamicCache()
        self._ids: list[int] = []
        head = next(self._model.audio_head.parameters())
        self._source = random_source(seed, head.device)
        features = loaded.config.visual.patch_features
        dummy = ImagePatches(torch.zeros(DUMMY_GRID[0] * DUMMY_GRID[1], features), DUMMY_GRID)
        self._dummies = [dummy, dummy]

    @torch.inference_mode()
    def run(self, conversation: Conversation, options: GenerationOptions) -> Iterator[Event]:
        """The turn with forced lengths: ``max_rounds`` times text and speech."""
        special = self._loaded.tokenizer.special
        waiting = self.prompt(conversation, options.speech)
        held: np.ndarray | None = None
        for turn in range(options.max_rounds):
            sampling = options.next_text if turn else options.first_text
            for token in self.text(waiting, sampling):
                yield "text", self._loaded.tokenizer.piece(token)
            self._ids[-1] = special.audiogen_start  # overwritten, as published
            frames = list(self.frames(embed_id(self._model, special.audiogen_start), options.audio))
            self._ids.append(special.audiogen_end)
            waiting = embed_id(self._model, special.audiogen_end)
            sound = self.decode(torch.cat(frames))
            if held is None:
                held = sound
                continue
            yield "sound", join(held, sound, FADE, "insert")
            held = np.zeros(0, np.float32)
        if held is not None and len(held):
            yield "sound", held

    @torch.inference_mode()
    def prompt(self, conversation: Conversation, speech: bool) -> Tensor:
        """The embeddings (1, ids, hidden) of a prompt of text and sound."""
        builder = PromptBuilder(self._loaded.tokenizer, self._loaded.config)
        prompt = builder.build(conversation, speech)
        self._ids += prompt.ids
        pieces = [p for slot in prompt.media if isinstance(slot, AudioSlot) for p in slot.pieces]
        codes = self._model.encode_audio(pieces, batch_padding=True)
        return self._model.embed(torch.tensor([prompt.ids]), torch.cat(codes) if codes else None)

    @torch.inference_mode()
    def text(self, embeds: Tensor, sampling: Sampling) -> Iterator[int]:
        """``max_new`` ids after ``embeds``; the last one is not fed."""
        for _ in range(sampling.max_new):
            token = self.next_token(embeds, sampling)
            yield token
            embeds = embed_id(self._model, token)

    @torch.inference_mode()
    def next_token(self, embeds: Tensor, sampling: Sampling) -> int:
        """The id after ``embeds``; the first time with the prefill."""
        _, scores = self.step(embeds)
        seen = seen_ids(self._ids, scores.shape[-1], scores.device)
        self._ids.append(int(pick(scores.float(), sampling, seen, source=self._source).item()))
        return self._ids[-1]

    @torch.inference_mode()
    def frames(self, embeds: Tensor, sampling: Sampling) -> Iterator[Tensor]:
        """``max_new`` frames of codes (1, codebooks) after ``embeds``; the last one is not fed."""
        seen: list[Tensor] = []
        pad = self._loaded.tokenizer.special.audio_pad
        for _ in range(sampling.max_new):
            codes = self.next_frame(embeds, sampling, seen)
            self._ids.append(pad)
            yield codes
            embeds = self._model.embed_codes(codes)[:, None]

    @torch.inference_mode()
    def next_frame(self, embeds: Tensor, sampling: Sampling, seen: list[Tensor]) -> Tensor:
        """The frame (1, codebooks) after ``embeds``; ``seen``: codes of this call, extended."""
        hidden, _ = self.step(embeds)
        return self.frame(hidden, sampling, seen)

    @torch.inference_mode()
    def step(self, embeds: Tensor) -> tuple[Tensor, Tensor]:
        """The last hidden state and the text scores; those of all positions are computed."""
        self._model.encode_images(self._dummies)
        states = self._model.hidden(embeds, past_key_values=self._cache)
        return states[:, -1], self._model.lm_head(states)[:, -1]

    @torch.inference_mode()
    def frame(self, hidden: Tensor, sampling: Sampling, seen: list[Tensor]) -> Tensor:
        """One frame (1, codebooks): a full pass of the audio head for each codebook."""
        head = self._model.audio_head
        codes = torch.zeros(1, len(head.heads), dtype=torch.int64, device=hidden.device)
        with published_products():
            for index in range(len(head.heads)):
                scores = head(hidden, codes)[index]
                scores = scores if index == 0 else scores[:, :-1]
                if index == len(seen):
                    seen.append(torch.zeros_like(scores, dtype=torch.bool))
                codes[:, index] = pick(scores, sampling, seen[index], source=self._source)
                mark_seen(seen[index], codes[:, index])
        return codes

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> np.ndarray:
        """A whole segment (frames, codebooks) to samples."""
        options = FlowOptions(one_batch=False)
        mel, _ = self._model.audio_tokenizer.decode(codes, options=options)
        wave = self._loaded.vocoder(mel.float().transpose(1, 2))
        return wave[0].cpu().numpy()


@contextmanager
def published_products() -> Iterator[None]:
    """The audio head's position-wise layers as one product over a strided weight."""
    ours = PositionWise.forward

    def strided(self: PositionWise, x: Tensor, position: int | None = None) -> Tensor:
        assert position is None, "the published head knows full passes only"
        return torch.einsum("npi,opi->npo", x, self.matrices())

    PositionWise.forward = strided  # type: ignore[method-assign]
    try:
        yield
    finally:
        PositionWise.forward = ours  # type: ignore[method-assign]


@contextmanager
def published_layout(model: Any) -> Iterator[None]:
    """The audio head's weights where the checkpoint has them, which ours may have moved."""
    moved = model.audio_head.unpack()
    try:
        yield
    finally:
        if moved:
            model.audio_head.pack()
