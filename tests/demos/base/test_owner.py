"""Who the owner is, and what the names of models tell others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from demos.base.owner import FORWARDED, Owner, without_folder


def asked(host: str | None = "127.0.0.1", **headers: str) -> Any:
    client = SimpleNamespace(host=host) if host else None
    return SimpleNamespace(client=client, headers=headers)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", None])
def test_on_a_private_page_whoever_comes_from_this_machine_is_the_owner(host: str | None) -> None:
    assert Owner().asks(asked(host))
    assert not Owner(private=False).asks(asked(host))
    assert Owner(private=False, visitors_too=True).asks(asked(host))


@pytest.mark.parametrize("name", FORWARDED)
def test_behind_a_proxy_nobody_knows_who_comes(name: str) -> None:
    assert not Owner().asks(asked(**{name: "192.0.2.1"}))
    assert not Owner().asks(asked("192.0.2.1"))
    assert Owner(visitors_too=True).asks(asked(**{name: "192.0.2.1"}))


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
