"""Stage 1: the vocoder's pitch predictor, by itself.

Knows: mel frames to Hz against measured pitch. Trained apart because a pitch loss inside small
vocoder batches did not converge, and on inputs and outputs of about unit size, which the finished
weights take in (:func:`fold_scales`): on plain log-mels it learns many times slower.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from finetune.nano.base.loop import Losses
from finetune.nano.speech.store import UtteranceStore
from omni.model.vocoder.layers import Conv1d
from omni.model.vocoder.source import F0Predictor

FRAMES = 60  # of a crop
BATCH = 32
HZ_SCALE = 100.0  # the net's output and the loss are in units of this many Hz
MEL_MEAN, MEL_SPREAD = -6.0, 3.0  # of log-mels of speech, roughly


class PitchStage:
    """Losses of the pitch predictor on random crops."""

    def __init__(self, predictor: F0Predictor, store: UtteranceStore, device: torch.device) -> None:
        self.predictor = predictor
        self.store, self.device = store, device

    def losses(self, step: int) -> Losses:
        """Weighted L1 in Hz; unvoiced frames count half."""
        mel, pitch = self.store.mel_crops(step, BATCH, FRAMES, self.device)
        found = read_pitch(self.predictor, mel)
        return {"loss": pitch_loss(found, pitch), "wrong": wrong_share(found, pitch)}


def read_pitch(predictor: F0Predictor, mel: Tensor) -> Tensor:
    """Hz ``(batch, frames)`` of ``mel (batch, frames, 80)``, by a predictor under training."""
    return HZ_SCALE * predictor((mel.transpose(1, 2) - MEL_MEAN) / MEL_SPREAD)


@torch.no_grad()
def fold_scales(predictor: F0Predictor) -> None:
    """From the net under training to the same one on plain log-mels, in Hz."""
    first = cast(Conv1d, predictor.condnet[0])
    first.bias.sub_(first.kernel().sum((1, 2)) * (MEL_MEAN / MEL_SPREAD))
    first.weight_g.div_(MEL_SPREAD)
    predictor.classifier.weight.mul_(HZ_SCALE)
    predictor.classifier.bias.mul_(HZ_SCALE)


@torch.no_grad()
def unfold_scales(predictor: F0Predictor) -> None:
    """The way back, to train finished weights further."""
    predictor.classifier.weight.div_(HZ_SCALE)
    predictor.classifier.bias.div_(HZ_SCALE)
    first = cast(Conv1d, predictor.condnet[0])
    first.weight_g.mul_(MEL_SPREAD)
    first.bias.add_(first.kernel().sum((1, 2)) * (MEL_MEAN / MEL_SPREAD))


def pitch_loss(found: Tensor, pitch: Tensor) -> Tensor:
    """Smooth L1 between two pitches in Hz, of one shape; 0 Hz is unvoiced."""
    error = F.smooth_l1_loss(found / HZ_SCALE, pitch / HZ_SCALE, beta=0.1, reduction="none")
    weight = torch.where(pitch > 0, 1.0, 0.5)
    return (error * weight).mean()


@torch.no_grad()
def wrong_share(found: Tensor, pitch: Tensor) -> Tensor:
    """The share of voiced frames that are off by more than a tenth."""
    voiced = pitch > 0
    off = (found - pitch).abs() > 0.1 * pitch
    return (off & voiced).sum() / voiced.sum().clamp_min(1)
