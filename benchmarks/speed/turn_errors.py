"""How often the detector of turns errs over synthesized conversations.

Knows: the truth beside each conversation, what counts as which error. Does not know: live sessions.
The detector of voice judges all conversations of a kind at once, frame by frame: the same numbers
as one by one (tests/omni/listening/test_turn_detection.py), many times sooner.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.lib.rows import Bound, Row
from benchmarks.speed.conversations import RATE, Recording, conversation
from omni.listening.settings import FRAME
from omni.listening.turn_detection import Ended, TurnDetector

NOISES = ("clean", "hiss", "hum", "knocks")
HESITATION_S = 1.2  # a longest pause inside a turn that is longer than the detector's hold
NONE, EARLY = Bound(0, at_most=True), Bound(2, at_most=True)  # turns, percent


class Judged:
    """A voice detector's probabilities, one a frame, as a
    :class:`omni.listening.voice_activity.VoiceActivity`."""

    def __init__(self, probabilities: np.ndarray) -> None:
        self._next = iter(probabilities.tolist())

    def __call__(self, frame: np.ndarray) -> float:
        """That of the next frame."""
        return next(self._next)

    def reset(self) -> None:
        """Nothing is remembered."""


def judged(recordings: Sequence[Recording]) -> list[Judged]:
    """What the voice detector says to each recording."""
    import torch

    from omni.listening.voice_activity import load_model

    model = load_model()
    frames = max(len(recording.sound) for recording in recordings) // FRAME
    sound = np.zeros((len(recordings), frames * FRAME), np.float32)
    for row, recording in zip(sound, recordings, strict=True):
        length = min(len(row), len(recording.sound))
        row[:length] = recording.sound[:length]
    streams = torch.from_numpy(sound).split(FRAME, dim=1)
    with torch.inference_mode(), torch.jit.optimized_execution(False):
        probabilities = torch.cat([model(stream, RATE) for stream in streams], dim=1)
    return [Judged(row) for row in probabilities.numpy()]


def error_rows(count: int) -> Iterator[Row]:
    """Errors over ``count`` conversations of each kind."""
    for noise in NOISES:
        yield from _errors(noise, [conversation(seed, noise=noise) for seed in range(count)])
    hesitating = [conversation(seed, longest_pause=HESITATION_S) for seed in range(count)]
    yield from _errors("hesitating", hesitating)


def _errors(name: str, recordings: Sequence[Recording]) -> Iterator[Row]:
    turns = missed = false = early = 0
    delays: list[float] = []
    for recording, voice in zip(recordings, judged(recordings), strict=True):
        events = TurnDetector(voice).push(recording.sound)
        ended = [event for event in events if isinstance(event, Ended)]
        left = list(ended)
        for begin, end in recording.turns:
            mine = [e for e in ended if e.voice_begin < end and e.voice_end > begin]
            left = [e for e in left if e not in mine]
            turns += 1
            missed += not mine
            early += len(mine) > 1
            if len(mine) == 1:
                delays.append((mine[0].at - end) / RATE)
        false += len(left)
    clean = name == "clean"
    of = f"of {turns} turns"
    minutes = sum(len(recording.sound) for recording in recordings) / RATE / 60
    yield Row(f"{name}_missed_turns", missed, NONE if clean else None, of)
    yield Row(f"{name}_false_turns", false, NONE if clean else None, f"in {minutes:.0f} minutes")
    most = f"{of}; at most {100 * at_most(early, turns):.1f} with 95 % confidence"
    yield Row(f"{name}_cut_early_percent", 100 * early / turns, EARLY if clean else None, most)
    if delays:
        yield Row(f"{name}_end_known_after_s", statistics.median(delays), None, "median")


def at_most(found: int, of: int, confidence: float = 0.95) -> float:
    """The share that ``found`` in ``of`` still allows for (one side, Clopper and Pearson)."""
    low, high = found / of, 1.0
    for _ in range(40):
        share = (low + high) / 2
        counts = range(found + 1)
        chance = sum(math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in counts)
        low, high = (share, high) if chance > 1 - confidence else (low, share)
    return high
