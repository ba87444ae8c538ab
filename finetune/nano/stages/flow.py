"""Stage 5: the flow decoder, from the mean mel to one with some of its fine structure.

Knows: conditional flow matching with guidance dropout. The tokenizer is frozen.
Source: Lipman et al., Flow Matching for Generative Modeling (arXiv:2210.02747), optimal transport
paths; Ho and Salimans, Classifier-Free Diffusion Guidance (arXiv:2207.12598).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from finetune.nano.base.loop import Losses
from finetune.nano.base.precision import mixed_precision
from finetune.nano.speech.store import UtteranceStore
from finetune.nano.stages.tokenizer import TokenizerStage
from omni.config import FlowConfig
from omni.model.audio.audio_tokenizer import AudioTokenizer

BATCH = 16
# Of what the mean mel lacks, the share that the flow is to find. All of it takes a far longer
# training: until then the flow gives noise instead, and speech is understood worse than without it.
DETAIL = 0.2


class FlowStage:
    """Losses of the velocity at random times."""

    def __init__(
        self,
        tokenizer: AudioTokenizer,
        config: FlowConfig,
        store: UtteranceStore,
        device: torch.device,
        batch: int = BATCH,
    ) -> None:
        self.tokenizer, self.store, self.device, self.batch = tokenizer, store, device, batch
        self.around = TokenizerStage(tokenizer, store, device)
        self.sigma_min = config.cfm_params.sigma_min
        self.unguided = config.cfm_params.training_cfg_rate

    def losses(self, step: int) -> Losses:
        """L1 of the velocity (the published ``reg_loss_type``)."""
        mu, mels, lengths = self.conditions(step)
        generator = torch.Generator().manual_seed(step)
        wanted = mu.lerp(pad_sequence(mels, batch_first=True), DETAIL)
        # One time a batch item, denser at the start as the cosine schedule's steps are.
        u = torch.rand(len(mels), 1, 1, generator=generator).to(self.device)
        t = 1 - torch.cos(u * (0.5 * math.pi))
        noise = torch.randn(wanted.shape, generator=generator).to(self.device)
        keep = (torch.rand(len(mels), 1, 1, generator=generator) >= self.unguided).to(self.device)
        x = (1 - (1 - self.sigma_min) * t) * noise + t * wanted
        velocity = wanted - (1 - self.sigma_min) * noise
        run = self.tokenizer.audio_flow_matching_decoder.conditional_decoder
        with mixed_precision(self.device):
            found = run(x, mu * keep, t[:, 0, 0], lengths).float()
        valid = torch.arange(x.shape[1], device=self.device) < lengths[:, None]
        loss = ((found - velocity).abs() * valid[..., None]).sum() / (valid.sum() * x.shape[2])
        return {"loss": loss}

    @torch.no_grad()
    def conditions(self, step: int) -> tuple[Tensor, list[Tensor], Tensor]:
        """Mean mels of quantized utterances, the true mels, and their lengths in frames."""
        pairs = self.store.pairs(step, self.batch, self.device)
        with mixed_precision(self.device):
            mu, frames = self.around.mean_mel(self.around.coded(pairs.heard))
        cut = [mel[:n] for mel, n in zip(pairs.mels, frames, strict=True)]
        return mu.float(), cut, torch.tensor(frames, device=self.device)
