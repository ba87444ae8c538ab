"""How likely a piece of sound is a voice, by the package silero-vad, whose model is in its wheel.

Knows: the package's model and its memory of what came before.
Does not know: turns, thresholds.
"""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import numpy as np

from omni.listening.settings import RATE


class Voice(Protocol):
    """Judges sound frame after frame."""

    def __call__(self, frame: np.ndarray) -> float:
        """The probability that float32 (FRAME,) at RATE, following the last one, is a voice."""
        ...

    def reset(self) -> None:
        """What comes next does not follow what came."""
        ...


class SileroVoice:
    """One stream's detector: about 0.7 ms of one core a frame of 32 ms. Not for several threads."""

    def __init__(self) -> None:
        """Load the model from the package (0.1 s)."""
        self._model = load_model()

    def __call__(self, frame: np.ndarray) -> float:
        """See :class:`Voice`."""
        import torch

        # The profiling executor would compile in the first seconds of every stream.
        with torch.inference_mode(), torch.jit.optimized_execution(False):
            return float(self._model(torch.from_numpy(frame), RATE).item())

    def reset(self) -> None:
        """See :class:`Voice`."""
        self._model.reset_states()


def load_model() -> Any:
    """The package's model: called with float32 (streams, FRAME) and RATE, it gives (streams, 1)."""
    import torch

    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit, inside the package
        try:
            from silero_vad import load_silero_vad
        finally:
            # Importing the package makes torch single-threaded for the whole program.
            torch.set_num_threads(threads)
        return load_silero_vad()
