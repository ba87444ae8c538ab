"""Whose voice is it? A speaker encoder from a wheel (Resemblyzer, Apache-2.0).

Knows: its weights, the mel spectrogram that it takes. Does not know: speakers, rows. The wheel's
own code is not imported: it needs librosa and a voice detector that nothing else here needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from benchmarks.quality.natural.listeners import RATE, at_16_khz
from finetune.nano.speech.synthesis import trimmed
from finetune.nano.teachers.files import package_folder

BINS, N_FFT, HOP = 40, 400, 160
UNITS, LAYERS = 256, 3
_PART, _STEP = 160, 80  # frames of a part of an utterance, and to the next one
_LEVEL = 10 ** (-30 / 20)  # of full scale, at least


class Encoder(nn.Module):
    """A mel spectrogram to a direction: who speaks."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BINS, UNITS, LAYERS, batch_first=True)
        self.linear = nn.Linear(UNITS, UNITS)

    def forward(self, mels: Tensor) -> Tensor:
        """(batch, frames, BINS) to (batch, UNITS) of length 1."""
        _, (hidden, _) = self.lstm(mels)
        found = torch.relu(self.linear(hidden[-1]))
        return found / found.norm(dim=1, keepdim=True)


@lru_cache(maxsize=1)
def load_encoder() -> Encoder:
    """The trained encoder.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    path = package_folder("resemblyzer") / "pretrained.pt"
    weights = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    encoder = Encoder()
    known = encoder.state_dict()
    encoder.load_state_dict({name: part for name, part in weights.items() if name in known})
    return encoder.eval()


@lru_cache(maxsize=1)
def _filters() -> Tensor:
    bank = mel_filter_bank(
        N_FFT // 2 + 1, BINS, 0.0, RATE / 2, RATE, norm="slaney", mel_scale="slaney"
    )
    return torch.from_numpy(bank).float()


def mel(wave: np.ndarray) -> Tensor:
    """The power of each mel band, not its logarithm: float32 (frames, BINS); at RATE."""
    sound = torch.from_numpy(wave.astype(np.float32))
    window = torch.hann_window(N_FFT)
    spectrum = torch.stft(
        sound, N_FFT, HOP, window=window, pad_mode="constant", return_complex=True
    ).abs()
    return spectrum.T**2 @ _filters()


@torch.inference_mode()
def voice_of(wave: np.ndarray, rate: int) -> np.ndarray:
    """Who speaks: float32 (UNITS,) of length 1; zeros for silence.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    encoder = load_encoder()
    if not np.abs(wave).max(initial=0.0) > 1e-4:
        return np.zeros(UNITS, np.float32)
    sound = trimmed(at_16_khz(wave, rate), RATE)
    sound = sound * max(1.0, _LEVEL / float(np.sqrt(np.mean(sound**2))))
    frames = mel(np.pad(sound, (0, max(0, _PART * HOP - len(sound)))))[
        : max(_PART, len(sound) // HOP)
    ]
    starts = range(0, len(frames) - _PART + 1, _STEP)
    found = encoder(torch.stack([frames[start : start + _PART] for start in starts])).mean(0)
    return (found / found.norm()).numpy()


def nearest_voice(wave: np.ndarray, others: Sequence[np.ndarray], rate: int) -> int:
    """Which of ``others`` sounds most like ``wave``; all at one rate.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    voice = voice_of(wave, rate)
    return int(np.argmax([voice @ voice_of(other, rate) for other in others]))
