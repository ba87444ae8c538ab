"""How much of a media file is decoded: bounds that hold before and while it happens.

Knows: numbers, the clock, a stop signal. Does not know: formats, who set the bounds.

A small file can unpack to gigabytes or keep a decoder busy for minutes, on purpose or by accident.
Each reader looks at these bounds before it asks a decoder for anything and between any two pieces
that it gets.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from omni.errors import MediaError

Stop = Callable[[], None]
PIECE_BYTES = 1 << 14  # of a file, between two looks at the watch


@dataclass(frozen=True)
class MediaLimits:
    """What may be decoded. The values are for one's own machine; see :data:`SHARED`."""

    file_bytes: int = 2_000_000_000  # of a file, as it was given
    picture_pixels: int = 64_000_000  # of a picture, as its header says
    picture_passes: int = 64  # scans of a progressive JPEG; encoders write about ten
    picture_work: int = 1_000_000_000  # scans times pixels: about ten seconds of a core
    clip_pixels: int = 9_500_000  # of a frame: 4K with room; a decoder holds twenty of them
    channels: int = 32  # of a sound
    seconds: float = 30 * 60.0  # of a sound or a clip
    decode_s: float = 120.0  # of the clock, for one file


# Where strangers reach the page: one of them must not keep the machine from the others.
SHARED = MediaLimits(
    file_bytes=200_000_000,
    picture_pixels=25_000_000,
    picture_work=300_000_000,
    channels=8,
    seconds=10 * 60.0,
    decode_s=30.0,
)


@dataclass
class _InForce:
    limits: MediaLimits = field(default_factory=MediaLimits)


_in_force = _InForce()


def limits() -> MediaLimits:
    """The bounds that this process keeps."""
    return _in_force.limits


def set_limits(new: MediaLimits) -> None:
    """Keep ``new`` from now on, in the whole process."""
    _in_force.limits = new


class DecodingStopped(Exception):
    """The stop signal was set while a file was being decoded."""


class Watch:
    """Looks after the decoding of one file: its time is bounded, and it can be stopped."""

    def __init__(self, name: str, stop: threading.Event | None = None) -> None:
        """
        Args:
            name: of the file, for the sentence.
            stop: ends the decoding at the next :meth:`check`; None: nothing does.
        """
        self._name = name
        self._stop = stop
        self._due = time.monotonic() + limits().decode_s

    def check(self) -> None:
        """To be called between any two pieces of work.

        Raises:
            DecodingStopped: the stop signal is set.
            MediaError: ``media-too-slow``, the time is over.
        """
        if self._stop is not None and self._stop.is_set():
            raise DecodingStopped
        if time.monotonic() > self._due:
            raise MediaError(
                "media-too-slow",
                "{name} takes too long to decode: send a shorter or simpler file.",
                name=self._name,
            )


class WatchedFile(io.RawIOBase):
    """A file that is read in small pieces, with a look at ``watch`` before each of them."""

    def __init__(self, opened: BinaryIO, watch: Watch) -> None:
        super().__init__()
        self._opened, self._watch = opened, watch

    def readinto(self, buffer: Any) -> int:
        """At most PIECE_BYTES.

        Raises:
            DecodingStopped, MediaError: as the watch does.
        """
        self._watch.check()
        view = memoryview(buffer).cast("B")[:PIECE_BYTES]
        data = self._opened.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of the file."""
        return self._opened.seek(offset, whence)

    def tell(self) -> int:
        """As of the file."""
        return self._opened.tell()
