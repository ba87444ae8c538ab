"""What is told of a load: the sentence, the time left, the phases."""

from __future__ import annotations

import logging
from collections.abc import Generator

import pytest

from omni.events import LOADING, Progress, Stage
from omni.loading.progress.pace import FIRST_S, Pace
from omni.loading.progress.phases import Phases
from omni.loading.progress.sentence import sentence


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (Progress("check", 1, 3), "Checking the model …"),
        (Progress("download", 3e9, 0, "bytes"), "Downloading the model …"),
        (Progress("download", 0, 22.04e9, "bytes"), "Downloading the model: 0.0 of 22.0 GB"),
        (Progress("read", 4e6, 29.9e6, "bytes"), "Reading weights: 4 of 30 MB"),
        (
            Progress("quantize", 9.26e9, 22.04e9, "bytes", 62),
            "Reading and quantizing weights: 9.3 of 22.0 GB, about 60 s left",
        ),
        (Progress("warm", 3, 4, left_s=2.2), "Warming up: 75 %, about 3 s left"),
        (Progress("warm", 4, 4, left_s=0.0), "Warming up: 100 %"),
        (
            Progress("read", 1e9, 9e9, "bytes", 200),
            "Reading weights: 1.0 of 9.0 GB, about 3 min left",
        ),
        (
            Progress("read", 1e9, 9e9, "bytes", 9000),
            "Reading weights: 1.0 of 9.0 GB, about 2 h left",
        ),
        (Progress("encode", 0, 2), "Listening and looking …"),
        (Progress("wait", 0, 2), "2 ahead of you in the queue …"),
        (Progress("wait", 0, 2, left_s=0.2), "2 before you, about 1 s …"),
    ],
)
def test_sentences(progress: Progress, expected: str) -> None:
    assert sentence(progress) == expected


@pytest.mark.parametrize("stage", LOADING)
def test_every_phase_has_a_sentence(stage: Stage) -> None:
    assert sentence(Progress(stage, 1, 2)) and sentence(Progress(stage, 0, 0)).endswith("…")


def test_the_time_left_follows_the_pace_of_late() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.left_s(0, 100) is None, "nothing was measured yet"
    clock.now = FIRST_S / 2
    assert pace.left_s(50, 100) is None, "too early"
    for second in range(2, 30):  # slow from here on: one a second
        clock.now = float(second)
        left = pace.left_s(50 + second, 100)
    assert left == pytest.approx(21, abs=1)
    pace.restart()
    assert pace.left_s(80, 100) is None
    clock.now += 2
    assert pace.left_s(80, 100) is None, "nothing moves: nobody knows"
    assert pace.left_s(90, 0) is None, "of how much nobody knows"


def test_phases_are_timed_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()

    def steps() -> Generator[Progress, None, str]:
        for stage, seconds in (
            ("check", 1),
            ("read", 2),
            ("quantize", 3),
            ("read", 4),
            ("read", 20),
        ):
            yield Progress(stage, 1, 2, "bytes")
            clock.now += seconds
        return "model"

    phases = Phases(clock)
    result: list[str] = []

    def follow() -> Generator[Progress, None, None]:
        result.append((yield from phases.follow(steps())))

    with caplog.at_level(logging.INFO, "omni.loading.progress.phases"):
        assert len(list(follow())) == 5
    assert result == ["model"]
    assert dict(phases.seconds) == {"check": 1, "read": 26, "quantize": 3}
    said = [record.getMessage().split(":")[0] for record in caplog.records]
    assert said == ["Checking the model …", "Reading weights", "Reading and quantizing weights"]


def test_a_load_that_is_given_up_is_closed_in_its_steps() -> None:
    ended: list[str] = []

    def steps() -> Generator[Progress, None, None]:
        try:
            while True:
                yield Progress("read", 0, 1)
        finally:
            ended.append("closed")

    following = Phases().follow(steps())
    next(following)
    following.close()
    assert ended == ["closed"]
