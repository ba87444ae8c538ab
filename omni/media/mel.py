"""The log-mel spectrogram of the audio encoder (that of Whisper large-v3).

Knows: one piece of sound of at most ``max_audio_seconds``. Does not know: files, longer sound.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from omni.config import AudioConfig

LOG_FLOOR = 1e-10
DYNAMIC_RANGE = 8.0  # decades below the loudest bin that are kept
# Slaney's mel scale: linear to 1 kHz (15 mel), logarithmic above (27 mel to 6.4 kHz).
LINEAR_HZ_PER_MEL = 200.0 / 3.0
LOG_START_HZ = 1000.0
LOG_STEP = np.log(6.4) / 27.0


def log_mel(samples: torch.Tensor, config: AudioConfig) -> torch.Tensor:
    """Log-mel frames of one piece.

    The spectrum is normalized by its loudest bin as if the piece were followed by silence up to
    ``max_audio_seconds``; frames of that silence are left out.

    Args:
        samples: float32 (samples,) at ``config.sampling_rate``, at most ``max_audio_seconds``.

    Returns:
        float32 (num_mel_bins, frames), frames = min(max_mel_frames, samples // hop_length + 1).
    """
    full = config.max_audio_seconds * config.sampling_rate
    # The rest of the silence is at the floor everywhere, and so never the loudest.
    enough = min(full, samples.numel() + config.n_fft)
    padded = torch.nn.functional.pad(samples, (0, enough - samples.numel()))
    window = torch.hann_window(config.n_fft)
    spectrum = torch.stft(
        padded, config.n_fft, config.hop_length, window=window, return_complex=True
    )
    power = spectrum[:, :-1].abs() ** 2
    filters = mel_filters(config.n_fft, config.sampling_rate, config.num_mel_bins)
    levels = (filters.T @ power).clamp(min=LOG_FLOOR).log10()
    levels = torch.maximum(levels, levels.max() - DYNAMIC_RANGE)
    return ((levels + 4.0) / 4.0)[:, : mel_frames(samples.numel(), config)].contiguous()


def mel_frames(samples: int, config: AudioConfig) -> int:
    """Frames of a piece of ``samples`` samples."""
    return min(config.max_mel_frames, samples // config.hop_length + 1)


@lru_cache(maxsize=4)
def mel_filters(n_fft: int, rate: int, bins: int) -> torch.Tensor:
    """Triangular filters of equal area on Slaney's scale, 0 Hz to half the rate.

    Returns:
        float32 (n_fft // 2 + 1, bins). Source: Slaney's Auditory Toolbox.
    """
    frequencies = np.linspace(0, rate / 2, n_fft // 2 + 1)
    top = LOG_START_HZ / LINEAR_HZ_PER_MEL + np.log(rate / 2 / LOG_START_HZ) / LOG_STEP
    mels = np.linspace(0.0, top, bins + 2)
    knee = LOG_START_HZ / LINEAR_HZ_PER_MEL
    edges = np.where(
        mels < knee, mels * LINEAR_HZ_PER_MEL, LOG_START_HZ * np.exp(LOG_STEP * (mels - knee))
    )
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies[:, None] - low) / (centre - low)
    falling = (high - frequencies[:, None]) / (high - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (high - low))
    return torch.from_numpy(triangles.astype(np.float32))
