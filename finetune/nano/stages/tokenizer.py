"""Stage 3: the audio tokenizer, from heard sound to codes and back to a mean mel.

Knows: encoder, bridge, quantizer, audio decoder and prenet trained as one, on whole utterances;
a reading of the coarse codebook and of all of them as phonemes, which makes the codes say what was
said (the language model learns such codes far sooner); a reading of all codebooks as pitch, which a
mean mel alone hardly asks for. Does not know: the flow, the vocoder, text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from finetune.nano.base.loop import Losses
from finetune.nano.base.precision import mixed_precision
from finetune.nano.speech.store import UtteranceStore
from finetune.nano.speech.timing import PHONEME_CLASSES, SILENCE
from finetune.nano.stages.quantizer import QuantizerTrainer
from omni.model.audio.audio_tokenizer import AudioTokenizer

BATCH = 16  # utterances
FREE_STEPS = 400  # before anything is quantized
PHONEME_WEIGHT = 0.15  # read from the coarse codebook
SPOKEN_WEIGHT = 0.3  # read from all of them
PITCH_WEIGHT = 2.0  # an octave
VOICING_WEIGHT = 0.2
USUAL_PITCH = 130.0  # Hz: pitch is read in octaves from here
STEADY_CHANNEL = 6.0  # of a fresh prenet
COMMITMENT = 0.25
FULL_SHARE = 0.7  # of the batches that use every codebook


class Readers(nn.Module):
    """What the codes must tell by one linear layer; thrown away after the training.

    Of each frame (``pool`` a code): the phoneme from the coarse codebook and from all of them,
    voicing and pitch from all of them.
    """

    def __init__(self, latent: int, pool: int) -> None:
        super().__init__()
        self.phoneme = nn.Linear(latent, pool * PHONEME_CLASSES)
        self.spoken = nn.Linear(latent, pool * PHONEME_CLASSES)
        self.pitch = nn.Linear(latent, pool * 2)

    def phonemes(self, coarse: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(codes * pool, PHONEME_CLASSES)`` of ``(codes, latent)``: coarse ones, all."""
        read = self.phoneme(coarse), self.spoken(latents)
        return read[0].view(-1, PHONEME_CLASSES), read[1].view(-1, PHONEME_CLASSES)

    def pitches(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of voicing, and octaves above USUAL_PITCH, both ``(codes * pool,)``."""
        voicing, octaves = self.pitch(latents).view(-1, 2).unbind(1)
        return voicing, octaves


class TokenizerStage:
    """Losses of the reconstruction through the codes.

    ``fresh``: the weights are random, and nothing is quantized at first.
    """

    def __init__(
        self,
        tokenizer: AudioTokenizer,
        store: UtteranceStore,
        device: torch.device,
        batch: int = BATCH,
        fresh: bool = True,
    ) -> None:
        self.tokenizer, self.store, self.device, self.batch = tokenizer, store, device, batch
        self.free_steps = FREE_STEPS if fresh else 0
        self.quantizer = QuantizerTrainer(tokenizer.audio_bridge_model)
        latent = tokenizer.audio_bridge_model.proj_decoder.in_features
        self.pool = tokenizer.audio_bridge_model.pool
        self.readers = Readers(latent, self.pool).to(device)

    def losses(self, step: int) -> Losses:
        """L1 and squared error of the mean mel, the commitment to the codes, phonemes, pitch."""
        pairs = self.store.pairs(step, self.batch, self.device)
        levels = self._levels(step)
        with mixed_precision(self.device):
            latents = self.latents(pairs.heard)
            if step < self.free_steps:
                quantized = coarse = torch.cat(latents)
                commitment = latents[0].new_zeros(())
            else:
                if step and step == self.free_steps:
                    self.quantizer.start(torch.cat(latents).detach())
                quantized, coarse, commitment = self.quantizer.quantize(torch.cat(latents), levels)
            codes = [len(x) for x in latents]
            mu, frames = self.mean_mel(quantized.split(codes))
        sizes = [n * self.pool for n in codes]  # the readers also tell the frame that the mel lacks
        read, spoken = self.readers.phonemes(coarse.float(), quantized.float())
        said = fitted(pairs.phonemes, sizes, SILENCE)
        phoneme = F.cross_entropy(read, said)
        whole = F.cross_entropy(spoken, said)
        # The coarse codebook is for what is said: alone it need not tell the pitch.
        share = float(levels != 1)
        read_pitch = self.readers.pitches(quantized.float())
        voice, voicing, octaves = pitch_losses(*read_pitch, pairs.pitches, sizes)
        l1, squared = mel_losses(mu, pairs.mels, frames)
        rest = COMMITMENT * commitment.float() + PHONEME_WEIGHT * phoneme + SPOKEN_WEIGHT * whole
        return {
            "loss": l1 + 0.5 * squared + rest + share * voice,
            "l1": l1,
            "commitment": commitment,
            "phoneme": phoneme,
            "read": (read.argmax(1) == said).float().mean(),
            "spoken": (spoken.argmax(1) == said).float().mean(),
            "octaves": octaves,
            "voicing": voicing,
        }

    @torch.no_grad()
    def start_at_mean(self) -> None:
        """Let a fresh prenet begin with the mean mel of a few utterances.

        Its last layer has no bias, and finding the level of silence takes hundreds of steps: one
        channel is set to about a constant, whose weights are the mean.
        """
        pairs = self.store.pairs(0, self.batch, self.device)
        prenet = self.tokenizer.audio_flow_matching_decoder.prenet
        last = cast(nn.Linear, prenet.in_mlp[2])
        last.bias[0] = STEADY_CHANNEL
        seen: list[Tensor] = []
        hook = prenet.out_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        self.mean_mel(self.latents(pairs.heard))
        hook.remove()
        prenet.out_proj.weight.mul_(0.3)
        prenet.out_proj.weight[:, 0] = torch.cat(pairs.mels).mean(0) / seen[0][..., 0].mean()

    def latents(self, heard: Sequence[Tensor]) -> list[Tensor]:
        """Unquantized latents ``(codes, latent)`` of each log-mel ``(128, frames)``."""
        bridge = self.tokenizer.audio_bridge_model
        hidden = self.tokenizer.audio_model(heard)
        padded = pad_sequence(hidden, batch_first=True)
        pooled = bridge.latents(padded)
        return [row[: bridge.code_length(len(x))] for row, x in zip(pooled, hidden, strict=True)]

    @torch.no_grad()
    def coded(self, heard: Sequence[Tensor]) -> list[Tensor]:
        """Latents ``(codes, latent)`` of each log-mel, as its codes give them back."""
        bridge = self.tokenizer.audio_bridge_model
        return [bridge.recover(bridge.quantize(x.float())) for x in self.latents(heard)]

    def mean_mel(self, latents: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
        """The prenet's mel ``(batch, frames, 80)``, and valid frames of each utterance."""
        bridge, decoder = self.tokenizer.audio_bridge_model, self.tokenizer.audio_decoder
        # One utterance at a time through the norm, whose statistics must not see padding.
        spread = [decoder.dconv1(bridge.proj_decoder(x)[None])[0] for x in latents]
        hidden = decoder.layers_from(pad_sequence(spread, batch_first=True), 0)
        mu = self.tokenizer.audio_flow_matching_decoder.prenet(hidden)
        return mu, [len(x) for x in spread]

    def _levels(self, step: int) -> int | None:
        draw = torch.rand(2, generator=torch.Generator().manual_seed(step)).tolist()
        if draw[0] < FULL_SHARE:
            return None
        return 1 + int(draw[1] * len(self.tokenizer.codebook_sizes))


def pitch_losses(
    logits: Tensor, octaves: Tensor, pitches: Sequence[Tensor], frames: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """How wrong :meth:`Readers.pitches` is: both errors weighted, and each alone.

    Cross entropy of voicing; mean error of the voiced frames' pitch in octaves.
    """
    wanted = fitted(pitches, frames, 0.0)
    voiced = wanted > 0
    voicing = F.binary_cross_entropy_with_logits(logits, voiced.float())
    off = (octaves - (wanted.clamp_min(1.0) / USUAL_PITCH).log2()).abs()
    wrong = (off * voiced).sum() / voiced.sum().clamp_min(1)
    return PITCH_WEIGHT * wrong + VOICING_WEIGHT * voicing, voicing, wrong


def fitted(labels: Sequence[Tensor], frames: Sequence[int], nothing: float) -> Tensor:
    """The labels of so many frames, one utterance after the other, cut or lengthened by it."""
    return torch.cat(
        [
            F.pad(x[:n], (0, max(0, n - len(x))), value=nothing)
            for x, n in zip(labels, frames, strict=True)
        ]
    )


def mel_losses(mu: Tensor, mels: Sequence[Tensor], frames: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean L1 and squared error over the valid frames of ``mu (batch, frames, 80)``."""
    found = torch.cat([row[:n] for row, n in zip(mu.float(), frames, strict=True)])
    wanted = torch.cat([mel[:n] for mel, n in zip(mels, frames, strict=True)])
    return F.l1_loss(found, wanted), F.mse_loss(found, wanted)
