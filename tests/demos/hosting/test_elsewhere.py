"""A page and a command whose engine is at an address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from demos.hosting.allowance import MeteredRemote
from demos.launch import engine_of, parse
from omni.cli.main import main
from omni.engine import Engine, EngineSettings
from omni.errors import BusyError, CheckpointError, ResourceError
from omni.fair_queue import Asker
from omni.remote.client import RemoteEngine
from omni.remote.link import TOKEN_VARIABLE
from omni.remote.server import Serving
from omni.remote.shelf import Shelf
from tests.support.engine_parts import FakeLoader, say, words
from tests.support.remote_server import served


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv(TOKEN_VARIABLE, "a-token")
    engine = Engine(EngineSettings("nano"), FakeLoader())
    with served(Serving(engine, "a-token", ("/x/persona",), shelf=Shelf(tmp_path))) as where:
        yield where


def test_a_page_asks_the_engine_of_its_flags(address: str) -> None:
    engine = engine_of(parse(["--engine", address]))
    assert isinstance(engine, RemoteEngine) and engine.elsewhere
    assert engine.state == "ready" and engine.settings.model == "nano"
    assert words(engine.turn(say("one two"))) == ["one", "two"]
    engine.close()


def test_its_visitors_have_their_minutes(address: str) -> None:
    engine = engine_of(parse(["--engine", address, "--daily-minutes", "1"]))
    assert isinstance(engine, MeteredRemote)
    owner = Asker("a", "1.2.3.4")
    assert words(engine.turn(say("one"), owner=owner)) == ["one"]
    engine.allowance.spend("1.2.3.4", 100.0)
    with pytest.raises(BusyError, match="used your 1 minutes"):
        list(engine.turn(say("one"), owner=owner))
    engine.close()


def test_an_adapter_of_the_engine_can_be_asked_for(address: str) -> None:
    engine = engine_of(parse(["--engine", address, "--adapter", "persona"]))
    assert engine.settings.adapter == "/x/persona"
    engine.close()
    with pytest.raises(CheckpointError, match="does not offer the adapter other"):
        engine_of(parse(["--engine", address, "--adapter", "other"]))


FLAGS = [["--model", "nano"], ["--replicas", "2"], ["--keep-quantized"], ["--unload-after", "5"]]


@pytest.mark.parametrize("flag", FLAGS)
def test_what_is_chosen_there_is_no_flag_here(address: str, flag: list[str]) -> None:
    with pytest.raises(ResourceError, match=f"{flag[0]} and --engine do not go together"):
        engine_of(parse(["--engine", address, *flag]))


def test_a_command_asks_it_too(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--engine", address, "one two", "--text-only"]) == 0
    assert capsys.readouterr().out == "onetwo"
    assert main(["chat", "--engine", address, "--adapter", "persona", "x", "--text-only"]) == 0
    assert main(["chat", "--engine", address, "--adapter", "other", "x", "--text-only"]) == 1
    assert "does not offer the adapter other" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["chat", "--engine", address, "--max-pixels", "9", "x"])
    assert re.search("--max-pixels: the model is chosen where", capsys.readouterr().err)


def test_a_command_says_what_is_wrong_with_an_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["chat", "--engine", "nowhere at all", "x", "--text-only"]) == 1
    assert "is no address of an engine" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    assert main(["serve-ray", "--model", "nano"]) == 1
    assert "pip install -r requirements-ray.txt" in capsys.readouterr().err
