"""Stage 3: the audio tokenizer, from heard sound to codes and back to a mean mel.

Knows: encoder, bridge, quantizer, audio decoder and prenet trained as one, on whole utterances;
a reading of the coarse codebook as phonemes, which makes its codes say what was said (the language
model learns such codes far sooner). Does not know: the flow, the vocoder, text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from finetune.loop import Losses
from finetune.precision import mixed_precision
from finetune.stages.quantizer import QuantizerTrainer
from finetune.store import UtteranceStore
from finetune.timing import PHONEME_CLASSES, SILENCE
from omni.model.audio_tokenizer import AudioTokenizer

BATCH = 16  # utterances
FREE_STEPS = 400  # before anything is quantized
PHONEME_WEIGHT = 0.15
STEADY_CHANNEL = 6.0  # of a fresh prenet
COMMITMENT = 0.25
FULL_SHARE = 0.7  # of the batches that use every codebook


class TokenizerStage:
    """Losses of the reconstruction through the codes."""

    def __init__(
        self,
        tokenizer: AudioTokenizer,
        store: UtteranceStore,
        device: torch.device,
        batch: int = BATCH,
    ) -> None:
        self.tokenizer, self.store, self.device, self.batch = tokenizer, store, device, batch
        self.quantizer = QuantizerTrainer(tokenizer.audio_bridge_model)
        latent = tokenizer.audio_bridge_model.proj_decoder.in_features
        self.pool = tokenizer.audio_bridge_model.pool
        # Thrown away after the training.
        self.reader = torch.nn.Linear(latent, self.pool * PHONEME_CLASSES).to(device)

    def losses(self, step: int) -> Losses:
        """L1 and squared error of the mean mel, the commitment to the codes, the phonemes."""
        heard, mels, phonemes = self.store.pairs(step, self.batch, self.device)
        with mixed_precision(self.device):
            latents = self.latents(heard)
            if step < FREE_STEPS:
                quantized = coarse = torch.cat(latents)
                commitment = latents[0].new_zeros(())
            else:
                if step == FREE_STEPS:
                    self.quantizer.start(torch.cat(latents).detach())
                quantized, coarse, commitment = self.quantizer.quantize(
                    torch.cat(latents), self._levels(step)
                )
            codes = [len(x) for x in latents]
            mu, frames = self.mean_mel(quantized.split(codes))
            read = self.reader(coarse).float().view(-1, PHONEME_CLASSES)
        said = torch.cat([_fitted(x, n * self.pool) for x, n in zip(phonemes, codes, strict=True)])
        phoneme = F.cross_entropy(read, said)
        l1, squared = mel_losses(mu, mels, frames)
        return {
            "loss": l1 + 0.5 * squared + COMMITMENT * commitment.float() + PHONEME_WEIGHT * phoneme,
            "l1": l1,
            "commitment": commitment,
            "phoneme": phoneme,
            "read": (read.argmax(1) == said).float().mean(),
        }

    @torch.no_grad()
    def start_at_mean(self) -> None:
        """Let a fresh prenet begin with the mean mel of a few utterances.

        Its last layer has no bias, and finding the level of silence takes hundreds of steps: one
        channel is set to about a constant, whose weights are the mean.
        """
        heard, mels, _ = self.store.pairs(0, self.batch, self.device)
        prenet = self.tokenizer.audio_flow_matching_decoder.prenet
        last = cast(torch.nn.Linear, prenet.in_mlp[2])
        last.bias[0] = STEADY_CHANNEL
        seen: list[Tensor] = []
        hook = prenet.out_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        self.mean_mel(self.latents(heard))
        hook.remove()
        prenet.out_proj.weight.mul_(0.3)
        prenet.out_proj.weight[:, 0] = torch.cat(mels).mean(0) / seen[0][..., 0].mean()

    def latents(self, heard: Sequence[Tensor]) -> list[Tensor]:
        """Unquantized latents ``(codes, latent)`` of each log-mel ``(128, frames)``."""
        bridge = self.tokenizer.audio_bridge_model
        hidden = self.tokenizer.audio_model(heard)
        padded = pad_sequence(hidden, batch_first=True)
        pooled = bridge.latents(padded)
        return [row[: bridge.code_length(len(x))] for row, x in zip(pooled, hidden, strict=True)]

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


def _fitted(phonemes: Tensor, frames: int) -> Tensor:
    """Cut, or lengthened by silence, to a number of frames."""
    return F.pad(phonemes[:frames], (0, max(0, frames - len(phonemes))), value=SILENCE)


def mel_losses(mu: Tensor, mels: Sequence[Tensor], frames: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean L1 and squared error over the valid frames of ``mu (batch, frames, 80)``."""
    found = torch.cat([row[:n] for row, n in zip(mu.float(), frames, strict=True)])
    wanted = torch.cat([mel[:n] for mel, n in zip(mels, frames, strict=True)])
    return F.l1_loss(found, wanted), F.mse_loss(found, wanted)
