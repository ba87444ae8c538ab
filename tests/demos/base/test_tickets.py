"""Tickets: unguessable, good once, for a time, for one origin."""

from __future__ import annotations

import pytest

from demos.base.tickets import PAST, TicketDesk


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_ticket_is_good_once() -> None:
    desk = TicketDesk[str]()
    ticket = desk.issue("door")
    assert desk.waiting(ticket)
    assert desk.claim("another") is None
    assert desk.claim(ticket) == "door"
    assert not desk.waiting(ticket)
    assert desk.claim(ticket) is None


def test_no_ticket_is_like_another_or_short_enough_to_guess() -> None:
    desk = TicketDesk[int]()
    tickets = [desk.issue(number) for number in range(100)]
    assert len(set(tickets)) == 100
    assert all(len(ticket) >= 32 for ticket in tickets)
    assert [desk.claim(ticket) for ticket in tickets] == list(range(100))


def test_a_ticket_is_good_for_its_time() -> None:
    clock = Clock()
    desk = TicketDesk[str](clock)
    early, late, lasting = (
        desk.issue("a", lifetime_s=20),
        desk.issue("b", lifetime_s=20),
        desk.issue("c"),
    )
    clock.now += 19.9
    assert desk.claim(early) == "a"
    clock.now += 0.2
    assert desk.claimed(early) == "a"  # who is in stays
    assert not desk.waiting(late)
    assert desk.claim(late) is None
    clock.now += 1e6
    assert desk.claim(lasting) == "c"


@pytest.mark.parametrize(
    ("given", "shown", "good"),
    [
        ("https://a.example", "https://a.example", True),
        ("https://a.example", "https://b.example", False),
        ("https://a.example", None, True),  # no browser: those send one
        (None, None, True),
        (None, "https://b.example", False),
    ],
)
def test_a_ticket_is_good_for_the_page_that_got_it(
    given: str | None, shown: str | None, good: bool
) -> None:
    desk = TicketDesk[str]()
    ticket = desk.issue("door", given)
    assert desk.claim(ticket, shown) == ("door" if good else None)
    assert desk.claimed(ticket, shown) == ("door" if good else None)
    assert desk.claim(ticket, given) is None  # used up all the same


def test_what_was_claimed_is_known_to_its_page_until_it_is_over() -> None:
    desk = TicketDesk[str]()
    ticket = desk.issue("door", "https://a.example")
    assert desk.claimed(ticket) is None  # not yet
    desk.claim(ticket, "https://a.example")
    assert desk.claimed(ticket, "https://a.example") == "door"
    assert desk.claimed(ticket, "https://b.example") is None
    desk.over(ticket)
    assert desk.claimed(ticket, "https://a.example") is None


def test_who_comes_when_it_is_over_is_late_and_who_guesses_is_not() -> None:
    desk = TicketDesk[str]()
    ticket = desk.issue("door")
    assert not desk.late(ticket)
    desk.over(ticket)
    desk.over("guess")
    assert desk.late(ticket)
    assert not desk.late("guess")
    assert desk.claim(ticket) is None


def test_the_past_is_forgotten_in_the_end() -> None:
    desk = TicketDesk[str]()
    tickets = [desk.issue("door") for _ in range(PAST + 1)]
    for ticket in tickets:
        desk.over(ticket)
    assert [desk.late(ticket) for ticket in tickets] == [False] + [True] * PAST
