"""The health of the page, as what watches it asks for it."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from demos.hosting import health
from omni.engine import Engine, EngineSettings
from omni.errors import CheckpointError
from omni.events import Progress


class Loads:
    """A loader that can be looked at while it works, and that fails when it is told to."""

    def __init__(self) -> None:
        self.fails = False

    def __call__(self, settings: EngineSettings, make_room: Any) -> Generator[Progress, None, Any]:
        make_room()
        yield Progress("read", 0, 1)
        if self.fails:
            raise CheckpointError("none", "There is none.")
        return type("Runner", (), {"report": None, "forget": None})()


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture
def engine(loads: Loads) -> Engine:
    return Engine(EngineSettings("nano"), loads)


def answers(engine: Engine) -> tuple[str, int, int]:
    """The state, the code for whether it lives, and for whether it is ready."""
    client = TestClient(Starlette(routes=[health.route(engine)]))
    lives, ready = client.get(health.PATH), client.get(health.PATH + "?ready")
    assert lives.headers["cache-control"] == "no-store"
    assert lives.json() == ready.json()
    return json.loads(lives.text)["state"], lives.status_code, ready.status_code


def test_loading_is_told_from_broken(engine: Engine, loads: Loads) -> None:
    assert answers(engine) == ("idle", 200, 503)
    loading = engine.load()
    next(loading)
    assert answers(engine) == ("loading", 200, 503)
    assert list(loading) == []
    assert answers(engine) == ("ready", 200, 200)

    loads.fails = True
    with pytest.raises(CheckpointError):
        list(engine.load(EngineSettings("another")))
    assert answers(engine) == ("broken", 503, 503)

    loads.fails = False
    list(engine.load())
    assert answers(engine) == ("ready", 200, 200)


def test_a_load_that_nobody_waits_for_is_not_broken(engine: Engine) -> None:
    loading = engine.load()
    next(loading)
    loading.close()
    assert answers(engine) == ("idle", 200, 503)


def test_the_command_says_the_state_or_why_there_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADIO_SERVER_PORT", "1")
    assert health.main([]) == 1
    assert "http://127.0.0.1:1: " in capsys.readouterr().err
    monkeypatch.setattr(health, "ask", lambda address: "ready")
    assert health.main(["http://127.0.0.1:7860"]) == 0
    assert capsys.readouterr().out == "ready\n"
