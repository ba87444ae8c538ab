"""The model as it learns: a batch to its losses.

Knows: text is scored where it is learnt and nowhere else, frames through the audio head; layers
may be computed again instead of being kept. Does not know: where a batch comes from, optimizers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from finetune.lora.data.examples import IGNORED
from omni.model.omni import OmniForCausalLM

# Places whose scores are in memory at once: with 152,064 tokens 160 MB in float32.
SCORED = 256


@dataclass(frozen=True)
class LossWeights:
    """What counts how much."""

    text: float = 1.0
    speech: float = 1.0
    fine: float = 0.3  # of each codebook after the first


class LearningOmni(OmniForCausalLM):
    """The model whose :meth:`forward` gives losses; made of a loaded one by :func:`learning`."""

    loss_weights = LossWeights()

    def forward(  # type: ignore[override]
        self,
        ids: Tensor,
        text_targets: Tensor,
        codes: Tensor,
        frame_places: Tensor,
        frame_targets: Tensor,
        image_features: Tensor,
        video_features: Tensor,
    ) -> dict[str, Tensor]:
        """Cross entropies of a batch (:class:`finetune.lora.batches.Batch`).

        Returns:
            ``loss``, which is minimized; ``text``, ``audio`` (all codebooks by their weights) and
            ``coarse`` (the first codebook), each the mean over its places; 0 where there are none.
        """
        embeds = self.embed(ids, codes, self._rows(image_features), self._rows(video_features))
        hidden = self.hidden(embeds)
        text = self._text_loss(hidden, text_targets)
        audio, coarse = self._audio_loss(hidden, frame_places, frame_targets)
        weights = self.loss_weights
        loss = weights.text * text + weights.speech * audio
        return {"loss": loss, "text": text, "audio": audio, "coarse": coarse}

    def _rows(self, features: Tensor) -> Tensor | None:
        """What the tower saw, (4 rows, embed_dim), as input rows."""
        if not len(features):
            return None
        rows: Tensor = self.model.visual_bridge_model(features)
        return rows

    def _text_loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        learnt = targets != IGNORED
        count = int(learnt.sum())
        if not count or not self.loss_weights.text:
            return hidden.sum() * 0
        states, wanted = hidden[learnt], targets[learnt]
        total = hidden.new_zeros((), dtype=torch.float32)
        for some, tokens in zip(states.split(SCORED), wanted.split(SCORED), strict=True):
            total = total + again(self._score, some, tokens)
        return total / count

    def _score(self, states: Tensor, tokens: Tensor) -> Tensor:
        return F.cross_entropy(self.lm_head(states).float(), tokens, reduction="sum")

    def _audio_loss(self, hidden: Tensor, places: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if not len(places) or not self.loss_weights.speech:
            nothing = hidden.sum() * 0
            return nothing, nothing
        states = hidden.flatten(0, 1)[places]
        speaking = targets[:, 0] < self.config.audio.codebook_sizes[0]
        losses = []
        for index, scores in enumerate(self.audio_head(states, targets)):
            # After the end class of the first codebook the others mean nothing.
            which = torch.ones_like(speaking) if index == 0 else speaking
            wanted = targets[which, index]
            # A segment of the end frame alone has no fine codes: their loss is 0, not nan.
            total = F.cross_entropy(scores[which].float(), wanted, reduction="sum")
            losses.append(total / max(1, len(wanted)))
        shares = [1.0] + [self.loss_weights.fine] * (len(losses) - 1)
        weights = torch.tensor(shares, device=hidden.device)
        return (torch.stack(losses) * weights).sum() / weights.sum(), losses[0]


def learning(model: OmniForCausalLM, weights: LossWeights) -> LearningOmni:
    """The loaded ``model`` as one that gives losses; no weight is copied."""
    model.__class__ = LearningOmni
    assert isinstance(model, LearningOmni)
    model.loss_weights = weights
    if model.device.type == "cpu":
        # Rows are short: written out, attention and its gradient take half the time there.
        model.set_attn_implementation("eager")
    return model


def drop_unused(model: OmniForCausalLM) -> None:
    """Take out what no loss needs: the towers, whose output is known, and all behind the codes."""
    model.audio_tokenizer = nn.Module()  # type: ignore[assignment]
    model.model.visual_model = nn.Module()


def compute_again(model: OmniForCausalLM) -> None:
    """Let the layers of the language model keep their inputs alone, and compute the rest twice."""
    for layer in model.model.layers:
        layer.forward = partial(_layer_again, layer, layer.forward)


def _layer_again(
    layer: nn.Module, forward: Callable[..., Tensor], *given: Any, **named: Any
) -> Any:
    if not layer.training:
        return forward(*given, **named)
    return again(forward, *given, **named)


def again(forward: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """``forward`` of what is given, computed a second time for the gradient."""
    if not torch.is_grad_enabled():
        return forward(*given, **named)
    return checkpoint(forward, *given, use_reentrant=False, **named)
