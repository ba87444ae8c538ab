"""First come, first served, and places that are given up."""

from __future__ import annotations

import threading

from omni.fair_queue import FairQueue


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
