"""Many people at once, shortly; the long soak is a program and a slow test."""

from __future__ import annotations

import pytest

from benchmarks.load import soak
from benchmarks.load.running import App

SHORT, LONG = 30, 200  # turns


def held(turns: int, app: App) -> None:
    """Run it, and hold every bound."""
    missed = [row for row in soak.measure(turns, 8, app) if row.ok is False]
    assert not missed


def test_eight_people_get_their_own_answers(app: App) -> None:
    held(SHORT, app)


@pytest.mark.slow
def test_eight_people_for_minutes(app: App) -> None:
    held(LONG, app)
