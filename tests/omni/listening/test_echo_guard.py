"""The guard that tells a person from the answer's own sound: by windows, and in a running stream.

The numbers of the guard were chosen with other voices and rooms than those of this file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import numpy as np
import pytest
import soxr

from benchmarks.speed.conversations import RATE, say
from omni.events import SPEECH_RATE
from omni.listening.echo import WINDOW, EchoGuard
from omni.listening.settings import FRAME, FRAME_S, ListeningSettings
from omni.listening.turn_detection import Began, TurnDetector

pytestmark = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")

REPORT = RATE // 10  # samples between two reports of the page
BEFORE = RATE // 2  # samples of silence before the answer plays

# Who answers, who speaks into it, the room: seconds to fade by 60 dB, its direct sound over the
# rest (dB); how loud the echo is (dB below what was played), how late (s).
SCENES = (
    ("en-us-nyc+f5", "en-us+m6", 0.3, 3.0, -12, 0.06),
    ("en-gb-x-rp+m4", "cmn-latn-pinyin+f1", 0.45, 0.0, -6, 0.21),
    ("cmn-latn-pinyin+m5", "en-gb-scotland+f2", 0.2, 6.0, -16, 0.32),
    ("de+f1", "de+m2", 0.5, -2.0, -9, 0.12),
)
ANSWERS = {
    "en": "The river is longer than all the others in this country and it ends in the sea",
    "cm": "图书馆在学校的后面每天早上八点开门晚上九点关门",
    "de": "Der Zug nach Hamburg fährt heute leider etwas später ab als geplant",
}
WORDS = {
    "en": "Hold on what time does it open",
    "cm": "等一下我想问别的问题",
    "de": "Halt das habe ich nicht gemeint",
}


def as_played(answer: np.ndarray) -> np.ndarray:
    """int16 (samples,) at SPEECH_RATE."""
    return (soxr.resample(answer, RATE, SPEECH_RATE) * 32767).astype(np.int16)


def echo_of(answer: np.ndarray, fade_s: float, direct: float, gain: float) -> np.ndarray:
    """What a microphone hears of it in a room: float32 (samples,)."""
    random = np.random.default_rng(4)
    time = np.arange(round(fade_s * RATE)) / RATE
    room = random.standard_normal(len(time)) * 10 ** (-3 * time / fade_s)
    room[: RATE // 500] = 0
    room *= 10 ** (-direct / 20) / np.linalg.norm(room)
    room[0] = 1
    heard = np.convolve(answer, room / np.linalg.norm(room))[: len(answer)]
    return (heard * 10 ** (gain / 20)).astype(np.float32)


def persons_taken_for_the_echo() -> int:
    """Windows of a person's speech, over an answer that plays, that the guard holds for its echo.

    Asserts that the echo itself is always known, and that nothing is once the answer is cleared.
    """
    answer = say("There are three cats in the picture and one of them is asleep", "en-us+f2")
    person = say("No I meant the other picture", "en-us+m1")
    random = np.random.default_rng(0)
    room = random.standard_normal(4000) * np.exp(-np.arange(4000) / 600) * 0.05
    room[0] = 1
    echo = np.convolve(answer, room)[: len(answer)] * 0.3
    own = EchoGuard(SPEECH_RATE)
    own.sent(as_played(answer))
    wrong = 0
    for at in range(RATE, len(answer) - RATE, 3000):
        own.played(at * 3 // 2)
        heard = echo[at - 1500 : at - 1500 + 2560].astype(np.float32)
        if np.abs(heard).max() > 0.02:
            assert own(heard), at
        # A person is certain with a whole window; a short one that errs delays by a frame.
        start = at % (len(person) - 5200)
        wrong += own(person[start : start + 5120])
    own.clear()
    assert not own(echo[RATE : RATE + 2560].astype(np.float32))
    return wrong


def test_the_echo_of_an_answer_is_known() -> None:
    persons_taken_for_the_echo()  # asserts it on the way


def test_no_person_is_taken_for_the_echo() -> None:
    assert persons_taken_for_the_echo() == 0


class Scene:
    """A microphone in front of a loudspeaker that plays an answer, and a person."""

    def __init__(self, answerer: str, speaker: str, *room: float) -> None:
        fade_s, direct, gain, late_s = room
        answer = say(ANSWERS[answerer[:2]], answerer)
        self.answer = np.concatenate([answer, np.zeros(4000, np.float32), answer])
        self.person = say(WORDS[speaker[:2]], speaker)
        self.speaks_at = BEFORE + round(1.3 * RATE)
        random = np.random.default_rng(5)
        begin = BEFORE + round(late_s * RATE)
        self.silent = (random.standard_normal(begin + len(self.answer)) * 1e-4).astype(np.float32)
        self.echo = self.silent.copy()
        self.echo[begin:] += echo_of(self.answer, fade_s, direct, gain)

    def with_person(self, sound: np.ndarray) -> np.ndarray:
        """The person speaks over it."""
        sound = sound.copy()
        sound[self.speaks_at : self.speaks_at + len(self.person)] += self.person
        return sound

    def begins(self, sound: np.ndarray, own: EchoGuard | None) -> Iterator[float]:
        """When somebody is heard to speak, in seconds, while the answer plays."""
        from omni.listening.voice_activity import SileroVoiceActivity

        detector = TurnDetector(SileroVoiceActivity(), ListeningSettings(), own)
        detector.answering = True
        random = np.random.default_rng(6)
        due = 0
        if own:
            own.clear()
            own.sent(as_played(self.answer))
        for start in range(0, len(sound) - FRAME, FRAME):
            played = start - BEFORE
            if own and due <= played < len(self.answer):
                late = int(random.uniform(0, 0.015) * RATE)  # a report travels
                own.played(max(0, played - late) * SPEECH_RATE // RATE)
                due = played + REPORT
            for event in detector.push(sound[start : start + FRAME]):
                if isinstance(event, Began):
                    yield detector.position / RATE
                    detector.drop()


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene[0])
def test_an_answer_that_is_heard_does_not_interrupt_itself(scene: tuple) -> None:  # type: ignore[type-arg]
    place = Scene(*scene)
    assert len(list(place.begins(place.echo, None))) > 5  # without the guard it would
    own = EchoGuard(SPEECH_RATE)
    # The first words of a session may, in a room that blurs them; then the delay is known.
    assert [at for at in place.begins(place.echo, own) if at > BEFORE / RATE + 1] == []
    assert list(place.begins(place.echo, own)) == []
    assert own._delay is not None
    assert abs(own._delay / RATE - scene[-1]) < 0.05  # less what a report is late
    # A person who speaks over that echo is heard nevertheless.
    when = list(place.begins(place.with_person(place.echo), own))
    assert when
    assert 0 < when[0] - place.speaks_at / RATE < 0.6


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene[1])
def test_a_person_is_heard_as_soon_as_without_the_guard(scene: tuple) -> None:  # type: ignore[type-arg]
    place = Scene(*scene)
    sound = place.with_person(place.silent)  # the browser has cancelled the echo
    free = next(place.begins(sound, None))
    guarded = next(place.begins(sound, EchoGuard(SPEECH_RATE)))
    assert guarded - free <= FRAME_S + 1e-6


def test_too_little_to_compare_is_no_echo() -> None:
    own = EchoGuard(SPEECH_RATE)
    window = np.random.default_rng(0).standard_normal(WINDOW).astype(np.float32)
    assert not own(window)
    own.sent((window[: WINDOW // 2] * 3000).astype(np.int16))
    assert not own(window)
    assert not own(window[:100])
