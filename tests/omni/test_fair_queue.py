"""First come, first served, and places that are given up."""

from __future__ import annotations

import threading

import pytest

from omni.errors import BusyError
from omni.fair_queue import FairQueue, LineLimits, ServiceTime


def test_places_are_served_in_order() -> None:
    queue = FairQueue()
    first, second, third = (queue.enqueue() for _ in range(3))
    assert [queue.position(place) for place in (first, second, third)] == [0, 1, 2]
    assert queue.wait(first, 0) and not queue.wait(second, 0)
    queue.release(first)
    assert queue.wait(second, 0) and len(queue) == 2


def test_a_waiting_place_can_be_given_up() -> None:
    queue = FairQueue()
    first, second, third = (queue.enqueue() for _ in range(3))
    queue.release(second)
    assert queue.position(third) == 1
    queue.release(first)
    assert queue.wait(third, 0)


def test_a_release_in_another_thread_wakes_who_waits() -> None:
    queue = FairQueue()
    first, second = queue.enqueue(), queue.enqueue()
    threading.Timer(0.01, queue.release, [first]).start()
    assert queue.wait(second, 5)


def test_everybody_has_a_place_before_anybody_has_two() -> None:
    queue = FairQueue(LineLimits(each=3))
    served, *mine = (queue.join("me") for _ in range(4))
    hers, nobodys = queue.join("her"), queue.join(None)
    assert queue.position(served) == 0
    assert [queue.position(place) for place in (hers, nobodys, *mine)] == [1, 2, 3, 4, 5]
    queue.release(served)
    later = queue.join("him")
    assert [queue.position(place) for place in (hers, nobodys, later)] == [0, 1, 2]


def test_the_line_has_an_end() -> None:
    queue = FairQueue(LineLimits(waiting=3, each=2))
    served = queue.join("me")
    queue.join("me"), queue.join("me")
    with pytest.raises(BusyError, match="2 of your requests") as own:
        queue.join("me")
    queue.join("her")
    with pytest.raises(BusyError, match="Too many people") as full:
        queue.join("him")
    assert (own.value.code, full.value.code) == ("queue-full-own", "queue-full")
    assert len(queue) == 4
    queue.enqueue()  # who loads the model is not refused
    queue.release(served)


def test_the_expected_wait_follows_the_last_ones() -> None:
    service = ServiceTime()
    assert service.wait_s(3, 0) is None
    service.add(10)
    assert service.wait_s(3, 4) == 26
    assert service.wait_s(1, 40) == 0
    service.add(20)
    assert service.wait_s(1, 0) == pytest.approx(13)
