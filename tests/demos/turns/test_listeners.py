"""Who asks and does not listen."""

from __future__ import annotations

from demos.turns.listeners import Listeners


def test_who_does_not_listen_for_long_is_left() -> None:
    unheard: dict[str, object] = {"gone": "news", "slow": "first", "late": "news"}
    left: list[str] = []
    listeners = Listeners(lambda: unheard, left.append, absent_s=30)
    listeners.look(100)
    listeners.look(129)
    assert not left
    unheard["slow"] = "second"  # a slow connection is one
    del unheard["late"]
    listeners.look(130)
    assert left == ["gone"]
    listeners.look(159)
    assert left == ["gone", "gone"]
    listeners.look(160)
    assert left == ["gone", "gone", "gone", "slow"]
