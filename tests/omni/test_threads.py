"""How many threads: fewer while others use cores, all again when they are gone."""

from __future__ import annotations

import os
import threading
import time

import pytest

from benchmarks.speed.beside import busy
from omni import threads
from omni.threads import STALE_S, WINDOW_S, Reading, ThreadCount, others, read


class Machine:
    """Counters that go as a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cores: int, most: int) -> None:
        self.now, self.all_s, self.own_s = 100.0, 1000.0, 10.0
        self.used: list[int] = []
        self.readings = 0
        monkeypatch.setattr(threads.time, "monotonic", lambda: self.now)
        self.count = ThreadCount(most, cores, self._read, self.used.append)
        self.count.begin(most, watch=True)
        self.count.settle()
        self.used.clear()

    def _read(self) -> Reading:
        self.readings += 1
        return Reading(self.now, self.all_s, self.own_s)

    def passes(self, seconds: float, own: float, beside: float) -> None:
        """Time in which we and others use so many cores."""
        self.now += seconds
        self.own_s += own * seconds
        self.all_s += (own + beside) * seconds
        self.count.settle()


def test_a_core_that_another_uses_is_left_to_it_and_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(monkeypatch, cores=2, most=2)
    machine.passes(0.3, own=1.9, beside=0.1)  # a quiet machine is never quite still
    assert machine.used == []
    machine.passes(0.3, own=1.33, beside=0.67)  # three that want two cores
    assert machine.used == [1]
    machine.passes(0.3, own=1.0, beside=1.0)
    machine.passes(0.3, own=1.0, beside=0.3)  # on its way down, or a little work: not yet
    assert machine.used == [1]
    machine.passes(0.3, own=1.0, beside=0.05)
    assert machine.used == [1, 2]


def test_one_of_many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, cores=8, most=8)
    machine.passes(0.3, own=7.1, beside=0.9)
    machine.passes(0.3, own=7.0, beside=1.0)
    assert machine.used == [7]
    machine.passes(0.3, own=4.0, beside=4.0)
    assert machine.used == [7, 4]
    machine.passes(0.3, own=0.5, beside=9.0)  # more than there are
    assert machine.used == [7, 4, 1]


def test_cores_that_nobody_asked_for_may_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads wanted on eight cores, of which one is another's."""
    machine = Machine(monkeypatch, cores=8, most=2)
    machine.passes(0.3, own=2.0, beside=1.0)
    assert machine.used == []


def test_it_looks_now_and_then_and_at_nothing_old(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, cores=2, most=2)
    for _ in range(10):
        machine.passes(WINDOW_S / 20, own=2.0, beside=0.0)
    assert machine.readings == 1
    machine.passes(STALE_S + 1, own=0.0, beside=2.0)  # between two turns others were at work
    assert machine.used == []
    machine.passes(0.3, own=1.0, beside=1.0)
    assert machine.used == [1]


def test_nothing_is_watched_for_a_small_model_or_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for most, watch in ((1, True), (2, False)):
        machine = Machine(monkeypatch, cores=2, most=2)
        machine.readings = 0
        machine.count.begin(most, watch)
        machine.used.clear()
        machine.passes(1, own=1.0, beside=1.0)
        machine.passes(1, own=1.0, beside=1.0)
        assert machine.used == [] and machine.readings == 0


def test_every_thread_that_computes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, cores=2, most=2)
    machine.passes(0.3, own=1.33, beside=0.67)
    other = threading.Thread(target=machine.count.settle)
    other.start()
    other.join()
    assert machine.used == [1, 1]
    machine.passes(0.3, own=1, beside=0)
    assert machine.used == [1, 1, 2]


def test_real_counters_tell_others_from_ourselves() -> None:
    own = time.process_time()
    before = read()
    with busy(1):
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            pass
        after = read()
    spent = after.own_s - before.own_s
    assert spent == pytest.approx(time.process_time() - own, abs=0.1)
    assert others(before, after) > 0.2  # half of a core, where there is but one
    assert 0 < after.all_s - before.all_s <= (after.at - before.at) * (os.cpu_count() or 1) + 0.1
