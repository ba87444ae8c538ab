"""Where speech goes: a file in the format of its ending, or a pipe.

Knows: endings, pipes, full disks. Does not know: turns, flags.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import soundfile

from omni.errors import MediaError, ResourceError
from omni.events import SPEECH_RATE
from omni.media.wav import WavWriter, as_int16, wav_bytes

STDOUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
WAV_ENDINGS = {"", ".wav", ".wave"}
ENCODED = {  # libsndfile's names of the format and of what is in it
    ".flac": ("FLAC", "PCM_16"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".opus": ("OGG", "OPUS"),
    ".ogg": ("OGG", "VORBIS"),
}
UNKNOWN_SIZE = 0xFFFFFFFF  # of a WAV file whose end is not known yet
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def is_stdout(path: Path) -> bool:
    """Whether speech takes the place of text on standard output."""
    return path.as_posix() in STDOUT


def is_pipe(path: Path) -> bool:
    """Whether a path is no file: standard output, a named pipe, a device."""
    return is_stdout(path) or (path.exists() and not path.is_file() and not path.is_dir())


def check_ending(path: Path) -> None:
    """The ending is one that can be written.

    Raises:
        MediaError: ``out-format``.
    """
    if is_stdout(path) or path.suffix.lower() in WAV_ENDINGS | set(ENCODED):
        return
    if is_pipe(path):
        return
    raise MediaError(
        "out-format",
        "{name} cannot be written in the format of its ending: use .wav, .flac, .mp3, .opus "
        "or .ogg.",
        name=path.name,
    )


class SpeechFile:
    """Speech as ``path`` wants it; used as a context.

    A WAV file that is not there yet grows in its place and can be played at any time. Whatever
    replaces a file, or is encoded, appears when it is whole. Where the disk is full nothing stays.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.samples = 0
        self._encoding = None if is_stdout(path) else ENCODED.get(path.suffix.lower())
        self._target = path
        self._wav: WavWriter | None = None
        self._pipe: BinaryIO | None = None
        self._kept: list[np.ndarray] = []
        if not is_pipe(path) and self._encoding is None:
            if path.exists():
                self._target = _beside(path)
            self._wav = WavWriter(self._target)

    def write(self, samples: np.ndarray) -> None:
        """Append int16, or float in [-1, 1], (samples,).

        Raises:
            ResourceError: ``out-full``.
            OSError: it cannot be written.
        """
        self.samples += len(samples)
        try:
            if self._encoding is not None:
                self._kept.append(as_int16(samples))
            elif self._wav is not None:
                self._wav.write(samples)
            else:
                self._stream(as_int16(samples).astype("<i2").tobytes())
        except OSError as error:
            self._drop()
            raise self._full(error) from error

    def close(self) -> None:
        """Nothing more comes.

        Raises:
            ResourceError: ``out-full``.
            OSError: it cannot be written.
        """
        try:
            if self._kept and self._encoding is not None:
                self._write_encoded()
            if self._wav is not None and self.samples:
                self._wav.close()
                if self._target != self.path:
                    self._target.replace(self.path)
            if self._pipe is not None and self._pipe is not sys.stdout.buffer:
                self._pipe.close()
        except OSError as error:
            self._drop()
            raise self._full(error) from error
        self._kept, self._wav, self._pipe = [], None, None

    def _write_encoded(self) -> None:
        assert self._encoding is not None
        file = io.BytesIO()
        kind, subtype = self._encoding
        soundfile.write(file, np.concatenate(self._kept), SPEECH_RATE, subtype=subtype, format=kind)
        if is_pipe(self.path):
            self._stream(file.getvalue(), header=b"")
            return
        self._target = _beside(self.path)
        self._target.write_bytes(file.getvalue())
        self._target.replace(self.path)

    def _stream(self, data: bytes, header: bytes | None = None) -> None:
        if self._pipe is None:
            self._pipe = sys.stdout.buffer if is_stdout(self.path) else self.path.open("wb")
            self._pipe.write(stream_header() if header is None else header)
        self._pipe.write(data)
        self._pipe.flush()

    def _drop(self) -> None:
        """Leave nothing half behind."""
        wav, self._wav, self._kept = self._wav, None, []
        pipe, self._pipe = self._pipe, None
        if pipe is not None and pipe is not sys.stdout.buffer:
            with suppress(OSError):  # what could not be written cannot be written now
                pipe.close()
        if wav is not None:
            with suppress(OSError):  # there is no room for its header either, and it goes now
                wav.close()
        if not is_pipe(self._target) and (wav is not None or self._target != self.path):
            self._target.unlink(missing_ok=True)

    def _full(self, error: OSError) -> Exception:
        if error.errno not in FULL:
            return error
        return ResourceError(
            "out-full",
            "The disk is full: {path} was not written. Free some space and try again.",
            path=self.path,
        )

    def __enter__(self) -> SpeechFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def stream_header() -> bytes:
    """The head of a WAV file whose length nobody knows."""
    data = bytearray(wav_bytes(np.zeros(0, np.int16)))
    for place in (4, len(data) - 4):
        data[place : place + 4] = UNKNOWN_SIZE.to_bytes(4, "little")
    return bytes(data)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")
