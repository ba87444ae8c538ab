"""Turn detection: the state machine on marked sound, and the real detector on synthesized talk."""

from __future__ import annotations

import shutil
from typing import ClassVar

import numpy as np
import pytest

from benchmarks.speed.conversations import Recording, conversation
from omni.listening.settings import FRAME, RATE, ListeningSettings
from omni.listening.turn_detection import Began, Ended, Paused, Resumed, TurnDetector, TurnEvent
from tests.support.live_talk import LoudVoice, quiet, spoken

espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")


def sound(*pieces: np.ndarray) -> np.ndarray:
    """float32 (samples,)."""
    return np.concatenate(pieces).astype(np.float32) / 32768


def detect(detector: TurnDetector, samples: np.ndarray, piece: int) -> list[TurnEvent]:
    """All events of a stream that comes in pieces of ``piece`` samples."""
    found: list[TurnEvent] = []
    for start in range(0, len(samples), piece):
        found += detector.push(samples[start : start + piece])
    return found


def kinds(events: list[TurnEvent]) -> list[type]:
    return [type(event) for event in events]


TALK = sound(quiet(1), spoken(0.6), quiet(0.4), spoken(0.5), quiet(1), spoken(0.3), quiet(1))


@pytest.mark.parametrize("piece", [1, 160, 511, 512, 513, 4096, 10**6])
def test_however_the_sound_is_cut(piece: int) -> None:
    samples = TALK[: RATE * 2] if piece == 1 else TALK
    events = detect(TurnDetector(LoudVoice()), samples, piece)
    whole = detect(TurnDetector(LoudVoice()), samples, FRAME)
    assert kinds(events) == kinds(whole)
    for one, other in zip(events, whole, strict=True):
        assert one.at == other.at
        if isinstance(one, Ended | Paused) and isinstance(other, Ended | Paused):
            np.testing.assert_array_equal(one.sound, other.sound)


def test_a_pause_a_resumption_and_two_ends() -> None:
    events = detect(TurnDetector(LoudVoice()), TALK, 800)
    expected = [Began, Paused, Resumed, Paused, Ended, Began, Paused, Ended]
    assert kinds(events) == expected
    first, second = (event for event in events if isinstance(event, Ended))
    assert abs(first.voice_begin - RATE) <= FRAME
    assert abs(first.voice_end - 2.5 * RATE) <= FRAME
    assert abs(second.voice_begin - 3.5 * RATE) <= FRAME
    # The end comes when it should: the hold after the voice, to a frame.
    hold = (first.at - first.voice_end) / RATE
    assert abs(hold - ListeningSettings().end_s) < 2 * FRAME / RATE


def test_what_was_paused_is_what_ended() -> None:
    events = detect(TurnDetector(LoudVoice()), TALK, 700)
    paused = [event for event in events if isinstance(event, Paused)]
    ended = [event for event in events if isinstance(event, Ended)]
    np.testing.assert_array_equal(paused[1].sound, ended[0].sound)
    # Nothing of the turn is lost: the sound is the stream's own, from before the first voice on.
    begin = ended[0].voice_begin - (ended[0].voice_begin - RATE)
    assert len(ended[0].sound) >= ended[0].voice_end - begin
    loud = np.flatnonzero(np.abs(ended[0].sound) > 0.1)
    assert loud[0] > 0.2 * RATE


def test_a_short_noise_is_no_turn() -> None:
    noisy = sound(*[piece for _ in range(10) for piece in (spoken(0.05), quiet(0.5))])
    assert detect(TurnDetector(LoudVoice()), noisy, 512) == []


def test_an_endless_turn_is_cut() -> None:
    settings = ListeningSettings(longest_s=2.0)
    events = detect(TurnDetector(LoudVoice(), settings), sound(spoken(3), quiet(1)), 512)
    ended = [event for event in events if isinstance(event, Ended)]
    assert [event.cut for event in ended] == [True, False]
    assert sum(len(event.sound) for event in ended) >= 3 * RATE


def test_while_an_answer_plays_a_higher_threshold_holds() -> None:
    class Unsure(LoudVoice):
        def __call__(self, frame: np.ndarray) -> float:
            return min(super().__call__(frame), 0.6)

    detector = TurnDetector(Unsure())
    detector.answering = True
    assert detect(detector, sound(spoken(1), quiet(1)), 512) == []
    detector.answering = False
    assert kinds(detect(detector, sound(spoken(1), quiet(1)), 512)) == [Began, Paused, Ended]


def test_ones_own_voice_begins_no_turn() -> None:
    class Guard:
        asked: ClassVar[list[int]] = []
        heard = 0

        def follow(self, recent: np.ndarray, new: int) -> None:
            self.heard += new

        def __call__(self, window: np.ndarray) -> bool:
            self.asked.append(len(window))
            return True

    guard = Guard()
    detector = TurnDetector(LoudVoice(), echo_guard=guard)
    detector.answering = True
    assert detect(detector, sound(spoken(2), quiet(1)), 512) == []
    assert guard.asked
    assert max(guard.asked) <= 0.35 * RATE
    assert guard.heard == detector.position
    detector.answering = False  # nothing plays: nobody is asked
    count = len(guard.asked)
    assert kinds(detect(detector, sound(spoken(1), quiet(1)), 512)) == [Began, Paused, Ended]
    assert len(guard.asked) == count


@pytest.mark.parametrize("wrong", [{"begin_probability": 0}, {"end_s": 0}, {"longest_s": 0.1}])
def test_thresholds_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        ListeningSettings(**wrong)


@espeak
def test_the_real_detector_hears_turns_not_pauses_or_noise() -> None:
    from omni.listening.voice_activity import SileroVoiceActivity

    voice = SileroVoiceActivity()
    for seed, noise in ((0, "clean"), (2, "clean"), (1, "knocks")):
        recording: Recording = conversation(seed, turns=3, noise=noise)
        voice.reset()
        events = detect(TurnDetector(voice), recording.sound, 512)
        ended = [event for event in events if isinstance(event, Ended)]
        assert len(ended) == 3
        for event, (begin, end) in zip(ended, recording.turns, strict=True):
            assert event.voice_begin < begin + 0.2 * RATE
            assert abs(event.voice_end - end) < 0.2 * RATE


@espeak
def test_the_benchmark_judges_what_a_session_hears() -> None:
    from benchmarks.speed.turn_errors import judged
    from omni.listening.voice_activity import SileroVoiceActivity

    recordings = [conversation(seed, turns=1, noise="hiss") for seed in (3, 5)]
    for recording, recorded in zip(recordings, judged(recordings), strict=True):
        voice = SileroVoiceActivity()
        for start in range(0, len(recording.sound) - FRAME, FRAME):
            frame = recording.sound[start : start + FRAME].astype(np.float32)
            assert abs(voice(frame) - recorded(frame)) < 1e-3


def test_what_no_error_in_so_many_turns_proves() -> None:
    from benchmarks.speed.turn_errors import at_most

    assert abs(at_most(0, 300) - (1 - 0.05 ** (1 / 300))) < 1e-6
    assert 0.020 < at_most(2, 300) < 0.022
    assert at_most(5, 5) == 1


@espeak
def test_importing_the_detector_leaves_torch_its_threads() -> None:
    import torch

    from omni.listening.voice_activity import SileroVoiceActivity

    before = torch.get_num_threads()
    SileroVoiceActivity()
    assert torch.get_num_threads() == before
