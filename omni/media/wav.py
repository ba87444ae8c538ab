"""A WAV file that is written while its sound is made.

Knows: the file. Does not know: where samples come from.
"""

from __future__ import annotations

import wave
from io import BufferedWriter
from pathlib import Path
from types import TracebackType

import numpy as np

from omni.events import SPEECH_RATE

SAMPLE_BYTES = 2  # int16


class WavWriter:
    """Mono, int16, SPEECH_RATE. The file appears with the first samples and is valid after every
    write, so that whatever interrupts the work leaves a file that plays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.samples = 0
        self._file: wave.Wave_write | None = None
        self._raw: BufferedWriter

    def write(self, samples: np.ndarray) -> None:
        """Append int16 (samples,).

        Raises:
            OSError: the file cannot be written.
        """
        if self._file is None:
            self._raw = self.path.open("wb")
            self._file = wave.open(self._raw, "wb")  # noqa: SIM115 - closed by close()
            self._file.setnchannels(1)
            self._file.setsampwidth(SAMPLE_BYTES)
            self._file.setframerate(SPEECH_RATE)
        self._file.writeframes(np.asarray(samples, "<i2").tobytes())
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
