"""The thresholds of turn detection.

Knows: numbers with their units. Does not know: how they are used.
"""

from __future__ import annotations

from dataclasses import dataclass

RATE = 16_000  # Hz, of all sound that is listened to
FRAME = 512  # samples (32 ms): what the voice detector judges at once
FRAME_S = FRAME / RATE


@dataclass(frozen=True)
class ListeningSettings:
    """When a person's turn begins, pauses and ends.

    Probabilities are the voice detector's, in [0, 1]; times are seconds of sound.
    """

    begin_probability: float = 0.5  # a frame from here on is voice
    keep_probability: float = 0.35  # inside speech a frame from here on still is
    begin_s: float = 0.13  # so much voice begins a turn; less is a noise
    pause_s: float = 0.26  # so much silence is a pause: the answer is prepared
    end_s: float = 0.7  # so much silence ends the turn
    before_s: float = 0.3  # kept from before the first voice: soft consonants
    longest_s: float = 60.0  # a turn is cut here
    # While an answer plays, what the microphone picks up may be the answer:
    barge_probability: float = 0.75
    barge_s: float = 0.16

    def __post_init__(self) -> None:
        """Raises:
        ValueError: a value that makes no sense.
        """
        chances = (self.begin_probability, self.keep_probability, self.barge_probability)
        if not all(0 < chance < 1 for chance in chances):
            raise ValueError("Probabilities must be between 0 and 1.")
        times = (self.begin_s, self.pause_s, self.before_s, self.barge_s)
        if min(times) < 0 or self.end_s < FRAME_S or self.longest_s <= self.end_s:
            raise ValueError("Times must not be negative, and a turn must be longer than its end.")


def frames(seconds: float) -> int:
    """The frames that last ``seconds``, at least one."""
    return max(1, round(seconds / FRAME_S))
