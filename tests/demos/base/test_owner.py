"""Who the owner is, and what the names of models tell others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from demos.base.owner import FORWARDED, Owner, forwarded, without_folder


def asked(host: str | None = "127.0.0.1", version: str = "1.1", **headers: str) -> Any:
    client = SimpleNamespace(host=host) if host else None
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
