"""What a visitor may use in a day."""

from __future__ import annotations

from contextlib import closing

import pytest

from demos.hosting.allowance import DAY_S, Allowance, MeteredEngine
from omni.engine import EngineSettings
from omni.errors import BusyError
from omni.fair_queue import Asker
from tests.support.engine_parts import FakeLoader, say


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_who_has_used_the_time_waits_for_it_to_come_back() -> None:
    clock = Clock()
    allowance = Allowance(2, clock)
    allowance.spend("a", 100.0)
    allowance.check("a")
    clock.now += 3600
    allowance.spend("a", 20.0)
    with pytest.raises(BusyError, match="your 2 minutes of answers for today: go on in about 23"):
        allowance.check("a")
    allowance.check("b")
    clock.now += DAY_S - 3600 + 1
    allowance.check("a")


def test_who_stays_away_is_forgotten() -> None:
    clock = Clock()
    allowance = Allowance(2, clock)
    for number in range(100):
        allowance.spend(f"visitor {number}", 1.0)
    clock.now += DAY_S + 1
    allowance.spend("another", 1.0)
    assert len(allowance._used) == 1


def test_turns_cost_what_they_take_and_waiting_costs_nothing() -> None:
    allowance = Allowance(1)
    engine = MeteredEngine(allowance, EngineSettings("nano"), FakeLoader())
    asker = Asker("session", "198.51.100.7")
    with closing(engine.turn(say("one two"), owner=asker)) as turn:  # type: ignore[type-var]
        next(turn)  # it loads
    assert not allowance._used
    list(engine.turn(say("one two"), owner=asker))
    ((_, seconds),) = allowance._used["198.51.100.7"]
    assert 0 <= seconds < 10
    allowance.spend("198.51.100.7", 60.0)
    with pytest.raises(BusyError):
        list(engine.turn(say("one two"), owner=asker))
    list(engine.turn(say("one two"), owner=Asker("session")))  # of one's own machine
