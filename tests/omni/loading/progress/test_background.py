"""Blocking work as a generator of its progress."""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import replace

import pytest

from omni.events import Progress
from omni.loading.progress import background
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


def test_the_last_report_is_repeated_while_nothing_comes() -> None:
    go_on = threading.Event()

    def work(report: Report) -> str:
        report(step(1))
        assert go_on.wait(5)
        return "done"

    generator = in_background(work)
    assert [next(generator) for _ in range(3)] == [step(1)] * 3
    go_on.set()
    assert set(generator) <= {step(1)}


def test_the_time_left_is_not_repeated_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "STALE_S", 0.1)
    go_on = threading.Event()

    def work(report: Report) -> None:
        report(replace(step(1), left_s=5.0))
        assert go_on.wait(5)

    generator = in_background(work)
    assert next(generator).left_s == 5.0
    assert next(generator).left_s is None
    go_on.set()


def test_many_reports_are_told_now_and_then() -> None:
    def work(report: Report) -> None:
        for done in range(20_000):
            report(Progress("read", done, 20_000))

    began = time.monotonic()
    seen = list(in_background(work))
    assert seen[-1].done == 19_999
    assert len(seen) <= 3 + (time.monotonic() - began) / background.REST_S


def test_work_that_hangs_is_left_alone_after_a_while() -> None:
    go_on, ended = threading.Event(), threading.Event()

    def work(report: Report) -> None:
        report(step(0))
        assert go_on.wait(5)
        try:
            report(step(1))
        finally:
            ended.set()

    generator = in_background(work, wait_s=0.1)
    next(generator)
    began = time.monotonic()
    generator.close()
    assert time.monotonic() - began < 1
    go_on.set()
    assert ended.wait(5), "it heard at its next report"


def test_what_the_work_held_is_free_when_closing_is_over() -> None:
    class Big:
        pass

    held: list[weakref.ref[Big]] = []

    def work(report: Report) -> None:
        big = Big()
        held.append(weakref.ref(big))
        while True:
            report(step(0))
            time.sleep(0.01)

    generator = in_background(work)
    next(generator)
    generator.close()
    assert held[0]() is None


def test_the_last_of_every_stage_is_told() -> None:
    told = [Progress("check", 3, 3), Progress("read", 9, 9), Progress("warm", 1, 1)]

    def work(report: Report) -> None:
        for end in told:
            for done in range(int(end.total) + 1):
                report(replace(end, done=done))

    seen = list(in_background(work))
    assert [one for one in seen if one.done == one.total] == told
