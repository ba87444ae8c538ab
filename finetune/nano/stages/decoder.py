"""Stage 4: the audio decoder once more, until its mel tells the pitch.

Knows: the mean mel of frozen codes, read by a pitch predictor that learns along. A mean mel has
blurred harmonics, and the vocoder's predictor finds no pitch in it although the codes carry one.
Does not know: how codes are made, the flow, the vocoder.
"""

from __future__ import annotations

import torch
from torch import nn

from finetune.nano.base.loop import Losses
from finetune.nano.base.precision import mixed_precision
from finetune.nano.speech.store import UtteranceStore
from finetune.nano.stages.pitch import pitch_loss, read_pitch, wrong_share
from finetune.nano.stages.tokenizer import BATCH, TokenizerStage, fitted, mel_losses
from omni.model.audio.audio_tokenizer import AudioTokenizer
from omni.model.vocoder.source import F0Predictor

PITCH_WEIGHT = 3.0
# Of the noise added before the pitch is read, in log-mel: what the flow's noise leaves must be
# enough to read it from.
NOISE = 0.15


class DecoderStage:
    """Losses of the mean mel and of the pitch that is read from it.

    ``predictor``: as :class:`finetune.nano.stages.pitch.PitchStage` leaves it, its scales not
    folded.
    """

    def __init__(
        self,
        tokenizer: AudioTokenizer,
        predictor: F0Predictor,
        store: UtteranceStore,
        device: torch.device,
        batch: int = BATCH,
    ) -> None:
        self.tokenizer, self.predictor = tokenizer, predictor
        self.store, self.device, self.batch = store, device, batch
        self.around = TokenizerStage(tokenizer, store, device)

    def freeze_codes(self) -> None:
        """Leave only what comes after the codes to be trained, up to the flow."""
        self.tokenizer.requires_grad_(False)
        learns: tuple[nn.Module, ...] = (
            self.tokenizer.audio_bridge_model.proj_decoder,
            self.tokenizer.audio_decoder,
            self.tokenizer.audio_flow_matching_decoder.prenet,
        )
        for part in learns:
            part.requires_grad_(True)

    def losses(self, step: int) -> Losses:
        """L1 and squared error of the mean mel, and of the pitch that is read from it."""
        pairs = self.store.pairs(step, self.batch, self.device)
        generator = torch.Generator().manual_seed(step)
        with mixed_precision(self.device):
            mu, frames = self.around.mean_mel(self.around.coded(pairs.heard))
        l1, squared = mel_losses(mu, pairs.mels, frames)
        noise = NOISE * torch.randn(mu.shape, generator=generator).to(self.device)
        found = read_pitch(self.predictor, mu.float() + noise)
        valid = torch.cat([row[:n] for row, n in zip(found, frames, strict=True)])
        pitch = fitted(pairs.pitches, frames, 0.0)
        off = pitch_loss(valid, pitch)
        loss = l1 + 0.5 * squared + PITCH_WEIGHT * off
        return {"loss": loss, "l1": l1, "pitch": off, "wrong": wrong_share(valid, pitch)}
