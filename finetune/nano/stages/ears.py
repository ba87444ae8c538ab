"""Beside stage 4: the encoder hears people, in the codes that are there.

Knows: natural speech pulled to codes that read as its phonemes, what espeak-ng says held to the
codes that it had. Codebooks stay as they are, and with them all that later stages have learnt.
Does not know: the flow, text.

The codes must go on telling who speaks: what the frozen decoder makes of natural speech is to be
its mel, and its pitch is to be read from the codes. Without that they told what was said and lost
the voice: nano took that of no recording any more.

A table tells how likely each entry of the coarse codebook is each phoneme; an utterance's latents
are soft choices of entries, and the phoneme that sounds is to be likely in the mixture.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finetune.nano.base.loop import Losses
from finetune.nano.base.precision import mixed_precision
from finetune.nano.speech.store import Pairs, UtteranceStore
from finetune.nano.speech.timing import PHONEME_CLASSES, SILENCE
from finetune.nano.stages.tokenizer import TokenizerStage, fitted, mel_losses, pitch_losses
from omni.model.audio.audio_tokenizer import AudioTokenizer
from omni.model.audio.rvq import VectorQuantizer

BATCH = 10  # utterances of either side
READING_STEPS = 300  # in which only the readers learn, from codes of espeak-ng's speech
KEPT_WEIGHT = 1.0  # of the codes that espeak-ng's speech had
STILL_WEIGHT = 4.0  # of its latents
MEL_WEIGHT = 1.0  # of natural speech as the decoder gives it back
SPOKEN_WEIGHT = 0.5  # of the phonemes read from all codebooks
COMMITMENT = 0.25
# What learns: the parts of the audio tokenizer in front of its codebooks.
LEARNS = (
    "audio_model",
    "audio_bridge_model.gate_proj",
    "audio_bridge_model.up_proj",
    "audio_bridge_model.down_proj",
    "audio_bridge_model.layer_norm",
)
SHARPNESS = 0.5  # of the usual squared distance to the nearest entry: a choice's temperature


class EarsStage:
    """Losses of the encoder and the bridge in front of frozen codebooks."""

    def __init__(
        self,
        tokenizer: AudioTokenizer,
        known: UtteranceStore,
        natural: UtteranceStore,
        device: torch.device,
        batch: int = BATCH,
    ) -> None:
        """
        Args:
            known: what the codes were learnt from.
            natural: what is to be heard as well.
        """
        self.tokenizer, self.device, self.batch = tokenizer, device, batch
        self.known, self.natural = known, natural
        self.around = TokenizerStage(tokenizer, known, device, fresh=False)
        self.before = TokenizerStage(deepcopy(tokenizer).eval(), known, device, fresh=False)
        self.readers = self.around.readers
        self.temperature = self._usual_distance() * SHARPNESS

    def freeze_codes(self) -> None:
        """Leave the encoder and what is before the codebooks to be trained."""
        self.tokenizer.requires_grad_(False)
        for name in LEARNS:
            self.tokenizer.get_submodule(name).requires_grad_(True)

    def losses(self, step: int) -> Losses:
        """What is read of natural speech, what has moved of espeak-ng's."""
        known = self.known.pairs(step, self.batch, self.device)
        with torch.no_grad(), mixed_precision(self.device):
            before = [x.float() for x in self.before.latents(known.heard)]
            old = torch.cat(before)
            codes = self._coarse.encode(old)
        reading = self._reading(known, before)
        if step < READING_STEPS:
            return {"loss": reading, "reading": reading}
        natural = self.natural.pairs(step, self.batch, self.device)
        with mixed_precision(self.device):
            new = torch.cat(self.around.latents(known.heard)).float()
            heard = [x.float() for x in self.around.latents(natural.heard)]
        choices = self._choices(new)
        kept = F.nll_loss(choices, codes)
        still = F.mse_loss(new, old) / old.var()
        latents = torch.cat(heard)
        quantized, _ = self._quantized(latents)
        passed = latents + (quantized - latents).detach()  # gradients go past the quantizer
        commitment = (latents - quantized.detach()).square().mean()
        read, whole, right = self._natural(natural, heard, passed)
        mel, pitch = self._voice(natural, passed.split([len(x) for x in heard]))
        moved = KEPT_WEIGHT * kept + STILL_WEIGHT * still
        said = read + SPOKEN_WEIGHT * whole + COMMITMENT * commitment
        return {
            "loss": said + MEL_WEIGHT * mel + pitch + moved + reading,
            "read": read,
            "whole": whole,
            "commitment": commitment,
            "mel": mel,
            "pitch": pitch,
            "right": right,
            "kept": kept,
            "still": still,
            "same": (choices.argmax(1) == codes).float().mean(),
            "reading": reading,
        }

    @property
    def _coarse(self) -> VectorQuantizer:
        return self.tokenizer.audio_bridge_model.levels[0]

    def _choices(self, latents: Tensor) -> Tensor:
        """Log-probabilities ``(n, entries)`` of the coarse entries."""
        return (-self._coarse.distances(latents).square() / self.temperature).log_softmax(1)

    def _reading(self, known: Pairs, latents: list[Tensor]) -> Tensor:
        """The readers' own loss, on the codes as they were."""
        with torch.no_grad():
            whole, coarse = self._quantized(torch.cat(latents))
        sizes = [len(x) * self.around.pool for x in latents]
        said = fitted(known.phonemes, sizes, SILENCE)
        read, spoken = self.readers.phonemes(coarse, whole)
        pitch, *_ = pitch_losses(*self.readers.pitches(whole), known.pitches, sizes)
        return F.cross_entropy(read, said) + F.cross_entropy(spoken, said) + pitch

    def _natural(
        self, natural: Pairs, heard: list[Tensor], passed: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Losses of the coarse choice and of all codes; the share that is read.

        ``passed``: the latents as all codes give them back.
        """
        latents = torch.cat(heard)
        pool = self.around.pool
        said = fitted(natural.phonemes, [len(x) * pool for x in heard], SILENCE)
        choices = self._choices(latents)
        with torch.no_grad():
            logits = self.readers.phoneme(self._coarse.codebook.embed.float())
            table = logits.view(-1, pool, PHONEME_CLASSES).log_softmax(2)
            right = (table[choices.argmax(1)].argmax(2).flatten() == said).float().mean()
        wanted = table[:, torch.arange(pool).repeat(len(latents)), said]  # (entries, frames)
        mixed = choices.repeat_interleave(pool, 0).T + wanted
        read = -mixed.logsumexp(0).mean()
        spoken = _told(self.readers.spoken, passed).view(-1, PHONEME_CLASSES)
        return read, F.cross_entropy(spoken, said), right

    def _voice(self, natural: Pairs, passed: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Losses of the mel that the decoder gives back, of the pitch that is read."""
        with mixed_precision(self.device):
            mu, frames = self.around.mean_mel(passed)
        l1, squared = mel_losses(mu, natural.mels, frames)
        voicing, octaves = _told(self.readers.pitch, torch.cat(list(passed))).view(-1, 2).unbind(1)
        sizes = [len(x) * self.around.pool for x in passed]
        pitch, *_ = pitch_losses(voicing, octaves, natural.pitches, sizes)
        return l1 + 0.5 * squared, pitch

    def _quantized(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Latents as all codes give them back, and as the coarse ones alone do."""
        bridge = self.tokenizer.audio_bridge_model
        codes = bridge.quantize(latents)
        return bridge.recover(codes), self._coarse.decode(codes[:, 0])

    @torch.no_grad()
    def _usual_distance(self) -> float:
        pairs = self.known.pairs(0, self.batch, self.device)
        latents = torch.cat(self.before.latents(pairs.heard)).float()
        return float(self._coarse.distances(latents).square().min(1).values.mean())


def _told(reader: nn.Linear, latents: Tensor) -> Tensor:
    """What a reader tells of latents, without learning by it."""
    return F.linear(latents, reader.weight.detach(), reader.bias.detach())
