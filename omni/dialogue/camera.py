"""What the camera saw lately.

Knows: a few frames with their times. Does not know: cameras, pictures, files.
Nothing is written anywhere: frames that no turn takes are forgotten with the ring.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_FRAMES = 32  # as many as the published model sees of a clip
LARGEST_FRAME = 400_000  # bytes of a JPEG; ours are about 30,000


@dataclass(frozen=True)
class Frame:
    """One still. ``at``: the sample of the microphone's stream that was heard with it."""

    jpeg: bytes
    at: int


@dataclass(frozen=True)
class CameraRing:
    """The last frames, one a second, oldest first; every change makes a new value."""

    frames: tuple[Frame, ...] = ()
    size: int = MAX_FRAMES

    def __len__(self) -> int:
        return len(self.frames)

    def plus(self, jpeg: bytes, at: int) -> CameraRing:
        """With a new frame. One that is too large to be ours is ignored."""
        if not 0 < len(jpeg) <= LARGEST_FRAME:
            return self
        return replace(self, frames=(*self.frames, Frame(jpeg, at))[-self.size :])

    def between(self, begin: int, end: int) -> tuple[bytes, ...]:
        """The frames of a turn, oldest first; the last one before its end if it was so short that
        none fell into it: what the person was showing.
        """
        before = [frame for frame in self.frames if frame.at <= end]
        during = [frame for frame in before if frame.at >= begin]
        return tuple(frame.jpeg for frame in during or before[-1:])

    def since(self, at: int) -> CameraRing:
        """Without the frames before the sample ``at``, except the newest one, which stays."""
        kept = tuple(frame for frame in self.frames if frame.at >= at)
        return replace(self, frames=kept or self.frames[-1:])
