"""Who the owner is, and what the names of models tell others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from demos.base.owner import FORWARDED, Owner, Visitors, forwarded, without_folder


def asked(peer: str | None = "127.0.0.1", version: str = "1.1", **headers: str) -> Any:
    client = SimpleNamespace(host=peer) if peer else None
    scope = {"http_version": version}
    return SimpleNamespace(client=client, headers=headers, request=SimpleNamespace(scope=scope))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", None])
def test_on_a_private_page_whoever_comes_from_this_machine_is_the_owner(host: str | None) -> None:
    assert Owner().asks(asked(host))
    assert not Owner(private=False).asks(asked(host))
    assert Owner(private=False, visitors_too=True).asks(asked(host))


@pytest.mark.parametrize("name", FORWARDED)
def test_behind_a_proxy_nobody_knows_who_comes(name: str) -> None:
    assert not Owner().asks(asked(**{name: "192.0.2.1"}))
    assert not Owner().comes(asked(**{f"{name}-for": "192.0.2.1"}))
    assert not Owner().asks(asked("192.0.2.1"))
    assert Owner(visitors_too=True).asks(asked(**{name: "192.0.2.1"}))


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://omni.example"},
        {"referer": "https://omni.example/?__theme=dark"},
        {"origin": "http://[broken"},
    ],
)
def test_a_proxy_that_says_nothing_is_known_by_what_the_browser_says(
    headers: dict[str, str],
) -> None:
    assert forwarded({"host": "127.0.0.1:7860"} | headers)
    assert not Owner().asks(asked(**headers))


def test_a_proxy_that_says_nothing_is_known_by_its_old_language() -> None:
    assert not Owner().comes(asked(version="1.0"))


def test_the_page_itself_and_scripts_come_by_no_proxy() -> None:
    own = {"host": "localhost:7860", "origin": "http://localhost:7860"}
    assert not forwarded(own | {"referer": "http://localhost:7860/?a=b"})
    assert not forwarded({"host": "localhost:7860", "origin": "null"})
    assert Owner().comes(asked(**own))


def test_the_voices_stay_the_owners_where_everybody_may_load() -> None:
    everybody = Owner(private=True, visitors_too=True)
    assert everybody.asks(asked("192.0.2.1")) and not everybody.comes(asked("192.0.2.1"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("auto", "auto"),
        ("owner/model", "owner/model"),
        ("/home/me/models/mine", "mine"),
        ("~/mine", "mine"),
        ("../mine", "mine"),
        ("models/of/mine", "mine"),
        (r"C:\models\mine", "mine"),
    ],
)
def test_others_learn_no_folder_of_this_machine(name: str, told: str) -> None:
    assert without_folder(name) == told
    assert Owner(private=False).shown(name) == told
    assert Owner().shown(name) == name


APART, PROXIED = Visitors(apart=True), Visitors(apart=True, proxied=True)
INNER = Visitors(apart=True, proxied=True, inner=True)


@pytest.mark.parametrize(
    ("visitors", "client", "said", "address"),
    [
        (APART, "192.0.2.1", "", "192.0.2.1"),
        (APART, "192.0.2.1", "198.51.100.7", "192.0.2.1"),  # anybody can say so
        (APART, "2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        (APART, "::ffff:192.0.2.1", "", "192.0.2.1"),
        (APART, "testclient", "", "?"),
        (PROXIED, "127.0.0.1", "198.51.100.7", "198.51.100.7"),
        (PROXIED, "127.0.0.1", "8.8.8.8, 10.0.0.7", "10.0.0.7"),  # what the proxy added
        (PROXIED, "127.0.0.1", "unknown", "127.0.0.1"),
        (PROXIED, "127.0.0.1", "", "127.0.0.1"),
        (PROXIED, "127.0.0.1", "[2001:db8::1]:4711", "2001:db8::/64"),
        (PROXIED, "127.0.0.1", "192.0.2.1:4711", "192.0.2.1"),
        (INNER, "10.0.0.9", "1.1.1.1, 8.8.8.8, 10.0.0.7", "8.8.8.8"),
        (INNER, "10.0.0.9", "10.0.0.7", "10.0.0.7"),
    ],
)
def test_visitors_are_told_apart_by_what_cannot_be_made_up(
    visitors: Visitors, client: str, said: str, address: str
) -> None:
    asked_for = asked(client, **({"x-forwarded-for": said} if said else {}))
    assert visitors.asks(asked_for) == address
    assert Visitors().asks(asked_for) is None


def test_voices_that_are_shared_are_everybodys_and_the_model_is_not() -> None:
    shared = Owner(private=False, shares_voices=True)
    assert shared.has_voices(asked("192.0.2.1"))
    assert not shared.asks(asked("192.0.2.1"))
    assert not Owner(private=False).has_voices(asked("192.0.2.1"))
    assert Owner().has_voices(asked("127.0.0.1"))
