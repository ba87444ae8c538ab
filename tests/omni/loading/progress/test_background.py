"""Blocking work as a generator of its progress."""

from __future__ import annotations

import threading
import time

import pytest

from omni.events import Progress
from omni.loading.progress.background import Cancelled, Report, in_background


def step(done: int) -> Progress:
    return Progress("read", done, 3)


def test_what_the_work_returns_and_reports() -> None:
    def work(report: Report) -> str:
        for done in range(3):
            report(step(done))
        return "result"

    generator = in_background(work)
    seen = []
    while True:
        try:
            seen.append(next(generator))
        except StopIteration as end:
            assert end.value == "result"
            break
    assert seen[-1] == step(2), "the newest is never lost"
    assert [progress.done for progress in seen] == sorted({progress.done for progress in seen})


def test_work_that_reports_nothing() -> None:
    assert list(in_background(lambda report: None)) == []


def test_a_slow_consumer_sees_the_newest() -> None:
    ready = threading.Event()

    def work(report: Report) -> None:
        for done in range(100):
            report(step(done))
        ready.set()

    generator = in_background(work)
    first = next(generator)
    assert ready.wait(5)
    rest = list(generator)
    assert rest in ([step(99)], []) and (rest or first == step(99))


def test_errors_arrive() -> None:
    def work(report: Report) -> None:
        report(step(0))
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(in_background(work))


def test_closing_stops_the_work_and_waits_for_it() -> None:
    ended: list[str] = []

    def work(report: Report) -> None:
        try:
            while True:
                report(step(0))
                time.sleep(0.01)
        except Cancelled:
            time.sleep(0.05)
            ended.append("cancelled")
            raise

    generator = in_background(work)
    next(generator)
    generator.close()
    assert ended == ["cancelled"]
