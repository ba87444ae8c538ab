"""The voice line: who may open it, what comes through it, when it is given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from demos.playback import voice_line
from demos.playback.voice_line import PATH, TICKET_HEADER, VoiceDesk, VoiceLine
from tests.support.coroutines import awaited

SAMPLES = np.arange(1000, dtype=np.int16)


@pytest.fixture
def desk() -> VoiceDesk:
    return VoiceDesk()


@pytest.fixture
def client(desk: VoiceDesk) -> Iterator[TestClient]:
    with TestClient(Starlette(routes=desk.routes())) as client:
        yield client


def headers(line: VoiceLine, **more: str) -> dict[str, str]:
    return {TICKET_HEADER: line.ticket, **more}


def received(line: VoiceLine) -> list[bytes]:
    async def read() -> list[bytes]:
        return [piece async for piece in line.pieces()]

    return awaited(read())


def test_what_is_pushed_comes_out_behind_the_first_sample(
    desk: VoiceDesk, client: TestClient
) -> None:
    with desk.line(True) as line:
        assert line is not None
        desk.tickets.claim(line.ticket)
        assert client.post(PATH, headers=headers(line)).status_code == 204
        assert line.carries() is True
        line.push(SAMPLES[:500])
        line.push(SAMPLES[500:])
    assert np.frombuffer(b"".join(received(line)), "<i2").tolist() == [0, *SAMPLES]


def test_sound_that_comes_later_goes_on_at_once() -> None:
    line = VoiceLine()
    line.open()
    threading.Timer(0.05, lambda: line.push(SAMPLES)).start()
    threading.Timer(0.1, line.end).start()
    assert [len(piece) for piece in received(line)] == [2, 2 * len(SAMPLES)]


def test_no_sound_before_the_page_has_confirmed() -> None:
    line = VoiceLine()
    line.push(SAMPLES)
    assert line.carries() is None

    async def first_two() -> None:
        pieces = line.pieces()
        assert len(await anext(pieces)) == 2
        waiting = asyncio.ensure_future(anext(pieces))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        line.open()
        assert len(await waiting) == 2 * len(SAMPLES)

    awaited(first_two())


def test_a_line_that_nobody_opens_is_given_up_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_line, "OPEN_S", 0.05)
    line = VoiceLine()
    assert line.carries() is None
    assert line.carries(wait=True) is False
    assert not line.open()
    assert line.carries() is False
    assert [len(piece) for piece in received(line)] == [2]


def test_a_ticket_opens_one_line_once_and_only_while_the_turn_runs(
    desk: VoiceDesk, client: TestClient
) -> None:
    page = "https://ours.org"
    with desk.line(True) as line, desk.line(True, page) as other, desk.line(True, page) as third:
        assert line is not None
        assert other is not None
        assert third is not None
        assert len({line.ticket, other.ticket, third.ticket}) == 3
        assert client.post(PATH, headers=headers(line)).status_code == 404  # nobody reads it yet
        assert desk.tickets.claim(line.ticket) is line
        assert client.get(PATH, headers=headers(line)).status_code == 404  # it is taken
        assert client.get(PATH).status_code == 404
        assert client.get(PATH, headers={TICKET_HEADER: "guess"}).status_code == 404
        assert client.post(PATH, headers={TICKET_HEADER: "guess"}).status_code == 404
        foreign = headers(other, origin="https://example.org")
        assert client.get(PATH, headers=foreign).status_code == 404
        assert client.post(PATH, headers=foreign).status_code == 404
        assert desk.tickets.claim(other.ticket, page) is None  # used up where it was not good
        assert desk.tickets.claim(third.ticket, page) is third
        assert client.post(PATH, headers=headers(third, origin=page)).status_code == 204
        strange = headers(third, origin="https://example.org")
        assert client.post(PATH, headers=strange).status_code == 404
    for over in (line, other):
        assert client.get(PATH, headers=headers(over)).status_code == 204  # a page that came late


def test_no_line_where_the_page_has_no_ear(desk: VoiceDesk) -> None:
    with desk.line(False) as line:
        assert line is None
