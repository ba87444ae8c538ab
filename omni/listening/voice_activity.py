"""How likely a piece of sound is a voice, by the package silero-vad, whose model is in its wheel.

Knows: the package's model and its memory of what came before.
Does not know: turns, thresholds.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Protocol

import numpy as np

from omni.listening.settings import RATE

if TYPE_CHECKING:
    from torch import Tensor


class VoiceActivity(Protocol):
    """Judges one stream of sound, frame after frame."""

    def __call__(self, frame: np.ndarray) -> float:
        """The probability that float32 (FRAME,) at RATE, following the last one, is a voice."""
        ...

    def reset(self) -> None:
        """What comes next does not follow what came."""
        ...


class SileroModel(Protocol):
    """The package's model; it remembers the frames before."""

    def __call__(self, frames: Tensor, rate: int) -> Tensor:
        """Probabilities (streams, 1) of float32 (streams, FRAME) or (FRAME,) at ``rate`` Hz."""
        ...

    def reset_states(self) -> None:
        """Forget what came before."""
        ...


class SileroVoiceActivity:
    """The detector of one stream, for one thread: 0.7 ms of one core a frame of 32 ms."""

    def __init__(self) -> None:
        """Load the model from the package (0.1 s)."""
        self._model = load_model()

    def __call__(self, frame: np.ndarray) -> float:
        """See :class:`VoiceActivity`."""
        import torch

        # The profiling executor would compile in the first seconds of every stream.
        with torch.inference_mode(), torch.jit.optimized_execution(False):
            return float(self._model(torch.from_numpy(frame), RATE).item())

    def reset(self) -> None:
        """See :class:`VoiceActivity`."""
        self._model.reset_states()


def load_model() -> SileroModel:
    """The package's model."""
    import torch

    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit, inside the package
        try:
            from silero_vad import load_silero_vad
        finally:
            # Importing the package makes torch single-threaded for the whole program.
            torch.set_num_threads(threads)
        model: SileroModel = load_silero_vad()
        return model
