"""How long a person waits for an answer, and for what.

Knows: the moments of one turn, as readings of ``time.monotonic``. Does not know: who notes them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Moments:
    """When what happened to one answer; 0: not yet.

    ``voice_end`` and ``known_end``: of the person's turn, really and to the detector.
    """

    voice_end: float = 0.0
    known_end: float = 0.0
    begun: float = 0.0  # the work on it
    written: float = 0.0  # the question's files
    text: float = 0.0  # its first
    sound: float = 0.0  # its first, made, released or not
    sent: float = 0.0  # its first sound, to the page


@dataclass(frozen=True)
class Latency:
    """Of one answer, in seconds from the end of the person's voice to the first sound sent.

    ``hold_s``: until the turn was known to be over; ``wait_s``: from then on. The others tell what
    was done meanwhile: ``begun_s`` is when the work on the answer began (in the hold, where a pause
    was seen), ``read_s`` took the question to be written and read up to the first text, ``speak_s``
    from there to the first sound; at ``ready_s`` that was there.
    """

    hold_s: float
    wait_s: float
    begun_s: float
    read_s: float
    speak_s: float
    ready_s: float

    @classmethod
    def of(cls, moments: Moments) -> Latency:
        """From the moments of an answer whose first sound was sent."""
        m = moments
        text = m.text or m.sound  # an answer may begin with sound
        return cls(
            m.known_end - m.voice_end,
            m.sent - m.known_end,
            m.begun - m.voice_end,
            text - m.begun,
            m.sound - text,
            m.sound - m.voice_end,
        )

    @property
    def total_s(self) -> float:
        """Hold and wait."""
        return self.hold_s + self.wait_s
