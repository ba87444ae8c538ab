"""Stage 7: the language model and the audio head, on whole conversations.

Knows: batches of sequences; the losses of text, of audio frames said and heard, of the word that
sounds and of a word for what each row of a picture shows.
Does not know: how speech sounds and pictures look (the audio tokenizer, everything after it and
the vision tower are frozen; the bridge learns).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from finetune.nano.base.loop import Losses
from finetune.nano.base.precision import mixed_precision
from finetune.nano.examples.sequences import IGNORED
from finetune.nano.examples.sequences import Sequence as Written
from omni.config import OmniConfig
from omni.media.image import ImagePatches, image_patches
from omni.model.omni import OmniForCausalLM

AUDIO_WEIGHT = 1.0  # of the frames' loss, beside the text's
FINE_WEIGHT = 0.3  # of each codebook after the first
# Of the loss of the word that sounds. It tells each frame which word it belongs to, heard or said,
# which attention would have to find out by itself from a few tokens a sentence.
SOUND_WEIGHT = 0.3
SIGHT_WEIGHT = 0.3  # of the loss of the word for a picture's row, for the same reason
# Of the loss of the fine codes of what is heard, told from its coarse ones and what came before:
# who speaks. A prompt's voice must be taken up before it can be answered in.
VOICE_WEIGHT = 0.3
MISHEARD_SHARE = 0.15  # of the heard codes, at most; each sequence has a share of its own
# Of the said codes, at most; each sequence has a share of its own. Who always sees his own last
# frames takes the voice from them and not from the prompt, and never learns to get over a slip.
FORGOTTEN_SHARE = 0.3


@dataclass
class Batch:
    """Sequences padded at the right, with their media packed in order.

    ``ids``, ``text_targets``, ``sound_targets``, ``sight_targets`` (batch, positions); ``codes``
    (audio pads, codebooks); ``frame_places`` (frames,) into the flattened positions;
    ``frame_targets`` (frames, codebooks); ``heard_places`` and ``heard_targets`` the same of what
    is heard.
    """

    ids: Tensor
    text_targets: Tensor
    sound_targets: Tensor
    sight_targets: Tensor
    codes: Tensor
    frame_places: Tensor
    frame_targets: Tensor
    heard_places: Tensor
    heard_targets: Tensor
    images: list[ImagePatches]
    frames: list[ImagePatches]


def collate(
    sequences: Sequence[Written], config: OmniConfig, rng: np.random.Generator | None = None
) -> Batch:
    """Sequences as one batch.

    ``rng``: some of the codes are replaced (:func:`misheard`); None: all are as they are.
    """
    longest = max(len(sequence.ids) for sequence in sequences)
    # Any ordinary id will do behind the end: nothing looks back from there.
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    targets = torch.full((3, len(sequences), longest), IGNORED)
    places: list[int] = []
    heard_places: list[int] = []
    said: list[np.ndarray] = []  # of the audio pads: which the model says itself
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence.ids)] = torch.tensor(sequence.ids)
        kinds = (sequence.text_targets, sequence.sound_targets, sequence.sight_targets)
        for side, kind in enumerate(kinds):
            targets[side, row, : len(kind)] = torch.tensor(kind)
        places += [row * longest + place for place in sequence.frame_places]
        pads = np.flatnonzero(np.array(sequence.ids) == config.audio.audio_pad_token_id)
        said.append(np.isin(pads - 1, sequence.frame_places))
        heard_places += (row * longest + pads[~said[row]] - 1).tolist()
    codebooks = config.audio.num_codebooks

    def packed(rows: list[Tensor]) -> Tensor:
        return torch.cat(rows) if rows else torch.zeros(0, codebooks, dtype=torch.long)

    codes = [np.concatenate(s.codes) if s.codes else np.zeros((0, codebooks)) for s in sequences]
    heard = [known[~own] for known, own in zip(codes, said, strict=True)]
    if rng is not None:
        codes = [misheard(known, own, config, rng) for known, own in zip(codes, said, strict=True)]
    return Batch(
        ids,
        targets[0],
        targets[1],
        targets[2],
        packed([torch.from_numpy(part).long() for part in codes]),
        torch.tensor(places, dtype=torch.long),
        packed([torch.from_numpy(part).long() for s in sequences for part in s.frame_targets]),
        torch.tensor(heard_places, dtype=torch.long),
        packed([torch.from_numpy(part).long() for part in heard]),
        [image_patches(image, config.visual) for s in sequences for image in s.images],
        [image_patches(image, config.video) for s in sequences for image in s.frames],
    )


def misheard(
    codes: np.ndarray, said: np.ndarray, config: OmniConfig, rng: np.random.Generator
) -> np.ndarray:
    """A sequence's codes ``(audio pads, codebooks)``, some of those heard and said replaced.

    ``said`` bool (audio pads,). A strange voice has codes that no voice of training has; what they
    stand for must then be told from their neighbours.
    """
    shares = np.where(said, FORGOTTEN_SHARE * rng.random(), MISHEARD_SHARE * rng.random())
    replaced = rng.random(codes.shape) < shares[:, None]
    others = rng.integers(0, np.array(config.audio.codebook_sizes), codes.shape)
    return np.where(replaced, others, codes)


class LanguageStage:
    """Losses of text and audio frames of a batch."""

    def __init__(self, model: OmniForCausalLM, device: torch.device) -> None:
        self.model, self.device = model, device
        if device.type == "cpu":
            # Sentences are short: written out, attention and its gradient take half the time of
            # the fused kernel, a step 0.49 instead of 0.57 s on one core.
            model.set_attn_implementation("eager")

    def parameters(self) -> list[torch.nn.Parameter]:
        """What is trained: everything but the audio tokenizer and the vision tower."""
        self.model.audio_tokenizer.requires_grad_(False)
        self.model.model.visual_model.requires_grad_(False)
        return [p for p in self.model.parameters() if p.requires_grad]

    def losses(self, batch: Batch) -> Losses:
        """Cross entropies: of the tokens, and of the codebooks of frames said and heard."""
        with mixed_precision(self.device):
            hidden = self.model.hidden(self._inputs(batch))
            text = self._token_loss(hidden, batch.text_targets)
            sound = self._token_loss(hidden, batch.sound_targets)
            sight = self._token_loss(hidden, batch.sight_targets)
            audio, coarse = self._audio_loss(hidden, batch)
            voice = self._voice_loss(hidden, batch)
        beside = SOUND_WEIGHT * sound + SIGHT_WEIGHT * sight + VOICE_WEIGHT * voice
        loss = text + AUDIO_WEIGHT * audio + beside
        return {
            "loss": loss,
            "text": text,
            "audio": audio,
            "coarse": coarse,
            "sound": sound,
            "sight": sight,
            "voice": voice,
        }

    def _inputs(self, batch: Batch) -> Tensor:
        rows = [
            self.model.encode_images(images) if images else None
            for images in (batch.images, batch.frames)
        ]
        codes = batch.codes.to(self.device) if len(batch.codes) else None
        return self.model.embed(batch.ids.to(self.device), codes, *rows)

    def _token_loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        targets = targets.to(self.device)
        learnt = targets != IGNORED
        if not learnt.any():
            return hidden.sum() * 0
        return F.cross_entropy(self.model.lm_head(hidden[learnt]).float(), targets[learnt])

    def _audio_loss(self, hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        if not len(batch.frame_places):
            nothing = hidden.sum() * 0
            return nothing, nothing.detach()
        targets = batch.frame_targets.to(self.device)
        states = hidden.flatten(0, 1)[batch.frame_places.to(self.device)]
        speaking = targets[:, 0] < self.model.config.audio.codebook_sizes[0]
        losses = []
        for index, logits in enumerate(self.model.audio_head(states, targets)):
            # After the end class of the first codebook the others mean nothing.
            which = slice(None) if index == 0 else speaking
            losses.append(F.cross_entropy(logits[which].float(), targets[which, index]))
        weights = torch.tensor([1.0] + [FINE_WEIGHT] * (len(losses) - 1), device=self.device)
        total = (torch.stack(losses) * weights).sum() / weights.sum()
        return total, losses[0].detach()

    def _voice_loss(self, hidden: Tensor, batch: Batch) -> Tensor:
        if not len(batch.heard_places):
            return hidden.sum() * 0
        targets = batch.heard_targets.to(self.device)
        states = hidden.flatten(0, 1)[batch.heard_places.to(self.device)]
        fine = self.model.audio_head(states, targets)[1:]
        losses = [F.cross_entropy(x.float(), targets[:, n]) for n, x in enumerate(fine, 1)]
        return torch.stack(losses).mean() if losses else hidden.sum() * 0
