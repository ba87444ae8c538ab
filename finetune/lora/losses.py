"""The model as it learns: a batch to its losses.

Knows: text is scored where it is learnt and nowhere else, frames through the audio head; rows that
are held learn the scores of the model without adapters; layers may be computed again instead of
being kept. Does not know: where a batch comes from, optimizers.
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
from finetune.lora.targets import without_adapters
from omni.model.omni import OmniForCausalLM

# Places whose scores are in memory at once: with 152,064 tokens 160 MB in float32.
SCORED = 256


@dataclass(frozen=True)
class LossWeights:
    """What counts how much."""

    text: float = 1.0
    speech: float = 1.0
    fine: float = 0.3  # of each codebook after the first


@dataclass(frozen=True, eq=False)
class Known:
    """What the model without adapters makes of a batch, and where that is to stay."""

    of_text: Tensor  # bool, of the places whose text is learnt: these are held
    of_frames: Tensor  # the same of the frames
    text_states: Tensor | None  # at the places of text; None: nothing is held
    frame_scores: list[Tensor]  # of each codebook; empty: nothing is held, or nothing is said


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
        held: Tensor,
    ) -> dict[str, Tensor]:
        """Cross entropies of a batch (:class:`finetune.lora.batches.Batch`).

        Of rows that are held, how far the scores are from those of the model without adapters:
        the Kullback-Leibler divergence from these (Hinton et al. 2015 at temperature 1, less what
        does not depend on the adapters; Li and Hoiem 2017 hold a model to itself so).

        Returns:
            ``loss``, which is minimized; ``text``, ``audio`` (all codebooks by their weights) and
            ``coarse`` (the first codebook), each the mean over its places; 0 where there are none.
        """
        media = image_features, video_features
        text_places = (text_targets != IGNORED).flatten().nonzero().squeeze(1)
        tokens = text_targets.flatten()[text_places]
        if not self.loss_weights.speech:
            frame_places, frame_targets = frame_places[:0], frame_targets[:0]
        known = self._known(ids, codes, media, held, text_places, frame_places, frame_targets)
        states = self._states(ids, codes, media).flatten(0, 1)
        text = self._text_loss(states[text_places], tokens, known)
        audio, coarse = self._audio_loss(states[frame_places], frame_targets, known)
        weights = self.loss_weights
        # Of a batch without anything to learn too there is a gradient, which is zero.
        loss = weights.text * text + weights.speech * audio + states.sum() * 0
        return {"loss": loss, "text": text, "audio": audio, "coarse": coarse}

    def _states(self, ids: Tensor, codes: Tensor, media: tuple[Tensor, Tensor]) -> Tensor:
        images, clips = media
        return self.hidden(self.embed(ids, codes, self._rows(images), self._rows(clips)))

    def _known(
        self,
        ids: Tensor,
        codes: Tensor,
        media: tuple[Tensor, Tensor],
        held: Tensor,
        text_places: Tensor,
        frame_places: Tensor,
        frame_targets: Tensor,
    ) -> Known:
        """What the model without adapters makes of a batch, where rows of it are held."""
        of_text, of_frames = (
            held[places // ids.shape[1]] for places in (text_places, frame_places)
        )
        if not held.any():
            return Known(of_text, of_frames, None, [])
        with torch.no_grad(), without_adapters(self):
            states = self._states(ids, codes, media).flatten(0, 1)
            scores = (
                self.audio_head(states[frame_places], frame_targets) if len(frame_places) else []
            )
        return Known(of_text, of_frames, states[text_places], list(scores))

    def _rows(self, features: Tensor) -> Tensor | None:
        """What the tower saw, (4 rows, embed_dim), as input rows."""
        if not len(features):
            return None
        rows: Tensor = self.model.visual_bridge_model(features)
        return rows

    def _text_loss(self, states: Tensor, tokens: Tensor, known: Known) -> Tensor:
        if not len(tokens) or not self.loss_weights.text:
            return states.sum() * 0
        total = states.new_zeros((), dtype=torch.float32)
        for place in range(0, len(tokens), SCORED):
            part = slice(place, place + SCORED)
            before = None if known.text_states is None else known.text_states[part]
            total = total + again(
                self._score, states[part], tokens[part], known.of_text[part], before
            )
        return total / len(tokens)

    def _score(self, states: Tensor, tokens: Tensor, held: Tensor, before: Tensor | None) -> Tensor:
        known = None
        if before is not None:
            with torch.no_grad():
                known = self.lm_head(before)
        return summed_loss(self.lm_head(states), tokens, held, known)

    def _audio_loss(self, states: Tensor, targets: Tensor, known: Known) -> tuple[Tensor, Tensor]:
        if not len(targets):
            nothing = states.sum() * 0
            return nothing, nothing
        speaking = targets[:, 0] < self.config.audio.codebook_sizes[0]
        losses = []
        for index, scores in enumerate(self.audio_head(states, targets)):
            # After the end class of the first codebook the others mean nothing.
            which = torch.ones_like(speaking) if index == 0 else speaking
            before = known.frame_scores[index][which] if known.frame_scores else None
            held, wanted = known.of_frames[which], targets[which, index]
            # A segment of the end frame alone has no fine codes: their loss is 0, not nan.
            total = summed_loss(scores[which], wanted, held, before)
            losses.append(total / max(1, len(wanted)))
        shares = [1.0] + [self.loss_weights.fine] * (len(losses) - 1)
        weights = torch.tensor(shares, device=states.device)
        return (torch.stack(losses) * weights).sum() / weights.sum(), losses[0]


def summed_loss(scores: Tensor, wanted: Tensor, held: Tensor, known: Tensor | None) -> Tensor:
    """The losses of places, in sum: nats.

    Args:
        scores: (places, classes).
        wanted: int64 (places,), the right class.
        held: bool (places,): here ``known``, the scores before, is wanted instead.
        known: (places, classes); None: no place is held.
    """
    if known is None:
        return F.cross_entropy(scores.float(), wanted, reduction="sum")
    free = ~held
    total = F.cross_entropy(scores[free].float(), wanted[free], reduction="sum")
    now, before = (F.log_softmax(some[held].float(), -1) for some in (scores, known))
    return total + F.kl_div(now, before, reduction="sum", log_target=True)


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
