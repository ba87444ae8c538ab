"""First come, first served, and places that are given up."""

from __future__ import annotations

import threading

import pytest

from omni.errors import BusyError
from omni.fair_queue import Asker, FairQueue, LineLimits, ServiceTime


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
    served, *mine = (queue.join(Asker("me")) for _ in range(4))
    hers, nobodys = queue.join(Asker("her")), queue.join(None)
    assert queue.position(served) == 0
    assert [queue.position(place) for place in (hers, nobodys, *mine)] == [1, 2, 3, 4, 5]
    queue.release(served)
    later = queue.join(Asker("him"))
    assert [queue.position(place) for place in (hers, nobodys, later)] == [0, 1, 2]


def test_the_line_has_an_end() -> None:
    queue = FairQueue(LineLimits(waiting=3, each=2))
    served = queue.join(Asker("me"))
    queue.join(Asker("me")), queue.join(Asker("me"))
    with pytest.raises(BusyError, match="2 of your requests") as own:
        queue.join(Asker("me"))
    queue.join(Asker("her"))
    with pytest.raises(BusyError, match="Too many people") as full:
        queue.join(Asker("him"))
    assert (own.value.code, full.value.code) == ("queue-full-own", "queue-full")
    assert len(queue) == 4
    queue.enqueue()  # who loads the model is not refused
    queue.release(served)


def test_an_address_has_one_place_in_a_round_and_its_people_share_it() -> None:
    queue = FairQueue(LineLimits(waiting=9, each=3, address=6))
    served = queue.join(Asker("me", "school"))
    mine = [queue.join(Asker("me", "school")) for _ in range(2)]
    hers = queue.join(Asker("her", "school"))
    theirs = [queue.join(Asker("them", "home")) for _ in range(2)]
    assert queue.position(served) == 0
    line = [theirs[0], hers, theirs[1], mine[0], mine[1]]
    assert [queue.position(place) for place in line] == [1, 2, 3, 4, 5]
    for place in (served, theirs[0]):
        queue.release(place)
    late = queue.join(Asker("him", "school"))  # she is served, he comes before my second
    line = [hers, theirs[1], late, mine[0], mine[1]]
    assert [queue.position(place) for place in line] == [0, 1, 2, 3, 4]


def test_new_sessions_from_one_address_do_not_fill_the_line() -> None:
    queue = FairQueue(LineLimits(waiting=8, each=2, address=4))
    served = queue.join(Asker("0", "one"))
    places = [queue.join(Asker(str(n), "one")) for n in range(1, 5)]
    with pytest.raises(BusyError, match="4 requests from your network") as caught:
        queue.join(Asker("5", "one"))
    assert caught.value.code == "queue-full-address"
    assert queue.position(queue.join(Asker("6", "other"))) == 1
    queue.join(Asker("5"))  # where addresses say nothing they bound nothing
    queue.release(served)
    queue.release(places[0])
    queue.join(Asker("5", "one"))


def test_where_addresses_say_nothing_the_order_is_that_of_sessions() -> None:
    queue = FairQueue(LineLimits(waiting=99, each=3))
    sessions = [Asker(name) for name in "abacbaccb"]
    places = [(asker.session, queue.join(asker)) for asker in sessions]
    order = sorted(places, key=lambda pair: queue.position(pair[1]))
    # The first is served already, in the first round; the second of "a" belongs to the second.
    assert "".join(name for name, _ in order) == "abcabcacb"


def test_the_expected_wait_follows_the_last_ones() -> None:
    service = ServiceTime()
    assert service.wait_s(3, 0) is None
    service.add(10)
    assert service.wait_s(3, 4) == 26
    assert service.wait_s(1, 40) == 0
    service.add(20)
    assert service.wait_s(1, 0) == pytest.approx(13)


def test_what_nobody_waits_for_stands_behind_all() -> None:
    queue = FairQueue(LineLimits(waiting=1))
    signal, way = threading.Event(), threading.Event()
    behind = queue.join_behind(way)
    assert queue.wait(behind, 0) and len(queue) == 0  # nobody has to wait for it
    later = queue.join_behind(signal)
    mine = queue.join(Asker("me"))
    assert way.is_set() and not signal.is_set()
    assert queue.position(mine) == 0 and len(queue) == 1  # at once, as soon as it has given way
    hers = queue.join(Asker("her"))  # the one that may wait: what is behind takes no place
    loads = queue.enqueue()
    queue.release(behind)
    for place in (mine, hers, loads):
        assert queue.wait(place, 0)
        queue.release(place)
    assert queue.wait(later, 0) and not signal.is_set()
    queue.enqueue()
    assert signal.is_set()


def test_who_comes_while_it_is_served_stands_as_if_it_were_not_there() -> None:
    queue = FairQueue(LineLimits(each=3))
    behind = queue.join_behind(threading.Event())
    first, *mine = (queue.join(Asker("me")) for _ in range(3))
    hers = queue.join(Asker("her"))
    queue.release(behind)
    assert [queue.position(place) for place in (first, hers, *mine)] == [0, 1, 2, 3]
