"""How much of a page's messages is let in.

Knows: bounds of sound, pictures and messages. Does not know: what becomes of them.
"""

from __future__ import annotations

from demos.live import wire
from omni.dialogue.camera import LARGEST_FRAME
from omni.listening.settings import RATE

SOUND_WAITING_S = 10.0  # of sound that waits to be heard; a page sends a second in a second
MESSAGES_WAITING = 2_000  # of any kind; a page sends about 30 a second
PICTURES_A_SECOND = 2.0  # a page sends one
PICTURES_AT_ONCE = 12.0
JPEG = b"\xff\xd8\xff"  # how one begins
MEDIA = (wire.Sound, wire.Picture)


def size_of(message: wire.Up) -> int:
    """Samples of sound that a message brings."""
    return message.samples.size if isinstance(message, wire.Sound) else 0


class Gate:
    """The bounds of one session."""

    def __init__(self, camera: bool) -> None:
        """Args:
        camera: whether pictures are wanted at all.
        """
        self._camera = camera
        self._listening = False
        self._rate = RATE
        self._pictures = PICTURES_AT_ONCE  # that may come now
        self._pictured = 0.0

    def open(self) -> None:
        """From now on sound is heard; before, it is of no use."""
        self._listening = True

    def fits(self, message: wire.Up, samples: int, messages: int) -> bool:
        """Whether there is room for a message where so much waits already."""
        if isinstance(message, wire.Hello):
            self._rate = message.rate
        room = samples + size_of(message) <= SOUND_WAITING_S * self._rate
        return room and messages < MESSAGES_WAITING

    def wanted(self, message: wire.Up, now: float) -> bool:
        """Whether a message is of use: pictures may be too large or too many."""
        if isinstance(message, wire.Sound):
            return self._listening
        if not isinstance(message, wire.Picture):
            return True
        more = self._pictures + (now - self._pictured) * PICTURES_A_SECOND
        self._pictures, self._pictured = min(more, PICTURES_AT_ONCE), now
        ours = message.jpeg.startswith(JPEG) and len(message.jpeg) <= LARGEST_FRAME
        if not (self._camera and ours) or self._pictures < 1:
            return False
        self._pictures -= 1
        return True
