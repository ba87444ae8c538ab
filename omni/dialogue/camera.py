"""What the camera saw lately.

Knows: a few frames with their times. Does not know: cameras, pictures, files.
Nothing is written anywhere: frames that no turn takes are forgotten with the ring.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

MAX_FRAMES = 32  # as many as the published model sees of a clip
LARGEST_FRAME = 400_000  # bytes of a JPEG; ours are about 30,000


@dataclass(frozen=True)
class Frame:
    """One still. ``at``: the sample of the microphone's stream that was heard with it."""

    jpeg: bytes
    at: int


class CameraRing:
    """The last frames, one a second."""

    def __init__(self, size: int = MAX_FRAMES) -> None:
        self._frames: deque[Frame] = deque(maxlen=size)

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, jpeg: bytes, at: int) -> None:
        """A new frame. One that is too large to be ours is ignored."""
        if 0 < len(jpeg) <= LARGEST_FRAME:
            self._frames.append(Frame(jpeg, at))

    def between(self, begin: int, end: int) -> tuple[bytes, ...]:
        """The frames of a turn, oldest first; the last one before its end if it was so short that
        none fell into it: what the person was showing.
        """
        before = [frame for frame in self._frames if frame.at <= end]
        during = [frame for frame in before if frame.at >= begin]
        return tuple(frame.jpeg for frame in during or before[-1:])

    def forget(self, until: int | None = None) -> None:
        """Drop the frames before the sample ``until`` (None: all) except, then, the newest."""
        if until is None:
            self._frames.clear()
        while len(self._frames) > 1 and until is not None and self._frames[0].at < until:
            self._frames.popleft()
