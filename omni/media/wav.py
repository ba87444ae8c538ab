"""WAV files: mono, 16 bits. The one place that writes them.

Knows: a file written at once, one written while its sound is made, the same as bytes.
Does not know: where samples come from, how a file is read (:mod:`omni.media.audio`).
Importing this module does not import torch.
"""

from __future__ import annotations

import io
import wave
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from omni.events import SPEECH_RATE

SAMPLE_BYTES = 2  # int16
_INT16 = np.iinfo(np.int16)
_FULL_SCALE = 2.0**31  # libsndfile converts to 32 bits first
_DROPPED_BITS = 16


def as_int16(samples: np.ndarray) -> np.ndarray:
    """Samples as a WAV file stores them: int16 as they are, float in [-1, 1] as libsndfile does.

    What lies outside [-1, 1] is clipped. ``n / 32768`` becomes exactly ``n``.

    Raises:
        TypeError: neither int16 nor float.
    """
    if samples.dtype == np.int16:
        return samples
    if samples.dtype.kind != "f":
        raise TypeError(f"Samples are int16 or float, not {samples.dtype}.")
    wide = np.rint(np.clip(samples, -1, 1) * _FULL_SCALE).astype(np.int64) >> _DROPPED_BITS
    return np.minimum(wide, _INT16.max).astype(np.int16)


def wav_bytes(samples: np.ndarray, rate: int = SPEECH_RATE) -> bytes:
    """A whole WAV file in memory.

    Args:
        samples: int16, or float in [-1, 1], (samples,).
        rate: Hz.
    """
    buffer = io.BytesIO()
    with _open(buffer, rate) as file:
        file.writeframes(_stored(samples))
    return buffer.getvalue()


def write_wav(path: Path, samples: np.ndarray, rate: int = SPEECH_RATE) -> None:
    """Write a whole WAV file, or nothing.

    Args:
        samples: int16, or float in [-1, 1], (samples,).
        rate: Hz.

    Raises:
        OSError: the file cannot be written.
    """
    content = wav_bytes(samples, rate)
    try:
        path.write_bytes(content)
    except OSError:
        path.unlink(missing_ok=True)
        raise


class WavWriter:
    """A WAV file that is written while its sound is made.

    The file appears with the first samples and is valid after every write, so that whatever
    interrupts the work leaves a file that plays.
    """

    def __init__(self, path: Path, rate: int = SPEECH_RATE) -> None:
        """
        Args:
            rate: Hz.
        """
        self.path = path
        self.rate = rate
        self.samples = 0  # written so far
        self._file: wave.Wave_write | None = None
        self._raw: BufferedWriter

    def write(self, samples: np.ndarray) -> None:
        """Append int16, or float in [-1, 1], (samples,).

        Raises:
            OSError: the file cannot be written.
        """
        if self._file is None:
            self._raw = self.path.open("wb")
            self._file = _open(self._raw, self.rate)
        self._file.writeframes(_stored(samples))
        self._raw.flush()
        self.samples += len(samples)

    def close(self) -> None:
        """Nothing more comes."""
        if self._file is not None:
            self._file.close()
            self._raw.close()
            self._file = None

    def __enter__(self) -> WavWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _open(file: BinaryIO, rate: int) -> wave.Wave_write:
    """A writer whose header is set; closing it leaves ``file`` open."""
    writer = wave.open(file, "wb")  # noqa: SIM115 - closed by the caller
    writer.setnchannels(1)
    writer.setsampwidth(SAMPLE_BYTES)
    writer.setframerate(rate)
    return writer


def _stored(samples: np.ndarray) -> bytes:
    """Little-endian, whatever the machine is."""
    return as_int16(samples).astype("<i2").tobytes()
