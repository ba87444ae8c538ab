"""The button that keeps quantized weights: who may, what it says before, after and in between."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from demos.base.languages import Words
from demos.base.owner import Owner
from demos.panels import keep_button
from demos.panels.keep_button import KeepButton, progress_html
from omni.errors import ResourceError
from omni.events import Progress
from tests.support.fake_engine import FakeEngine

SIZE = 12_500_000_000
OVER: dict[str, Any] = {"over": None}  # for a call within the program


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    for name in ("Info", "Warning"):
        monkeypatch.setattr(keep_button.gr, name, heard.append)
    return heard


def button(owner: Owner | None = None, keep_bytes: int = SIZE, loaded: bool = True) -> KeepButton:
    engine = FakeEngine()
    engine.keep_bytes = keep_bytes
    if loaded:
        list(engine.load())
    with gr.Blocks():
        return KeepButton(engine, Words("en"), owner or Owner(), gr.Button())  # type: ignore[arg-type]


def clicked(one: KeepButton, request: Any = None) -> Iterator[Any]:
    """What a click shows: the progress, and the request of whom it is shown to at the end."""
    handler = one.handler(
        lambda asker, progress: {"now": progress},  # type: ignore[dict-item]
        lambda asker: {"over": asker},  # type: ignore[dict-item]
    )
    return handler(request, {})


def test_it_tells_the_size_before() -> None:
    shown = button().view("en")
    assert shown["visible"] and shown["value"] == "Keep 4bit on disk (12.5 GB)"
    assert "12.5 GB" in button().view("zh")["value"]


@pytest.mark.parametrize(
    "one",
    [
        button(loaded=False),
        button(keep_bytes=0),
        button(Owner(private=False)),
    ],
    ids=["nothing loaded", "nothing quantized", "strangers"],
)
def test_it_is_hidden(one: KeepButton) -> None:
    assert not one.view("en")["visible"]


def test_a_click(said: list[str]) -> None:
    one = button()
    *under_way, over = clicked(one)
    shown = [progress_html(Words("en"), "en", changes["now"]) for changes in under_way]
    assert "Quantizing and writing weights: 0.0 of 2.0 GB" in shown[0]
    assert 'value="1.000"' in shown[-1]
    assert over == OVER
    assert said == ["Kept: the next start reads these 12.5 GB and quantizes nothing."]
    assert not one.view("en")["visible"]


def test_a_stranger_s_click(said: list[str]) -> None:
    one = button(Owner(private=False))
    request = SimpleNamespace(headers={}, client=None)
    assert list(clicked(one, request)) == [{"over": request}]
    assert "owner" in said[0] and not one.engine.report.kept  # type: ignore[union-attr]


def test_what_the_disk_does_not_allow(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    one = button()

    def full() -> Iterator[Progress]:
        yield Progress("keep", 0, 1, "bytes")
        raise ResourceError(
            "kept-full",
            "The disk of {path} is full: nothing was kept. Free some space, or choose another disk "
            "(OMNI_KEPT names the folder for kept weights).",
            path="/disk",
        )

    monkeypatch.setattr(one.engine, "keep", full)
    assert [*clicked(one)][-1] == OVER
    assert said[0].startswith("The disk of /disk is full") and one.view("en")["visible"]


def test_cancelled(said: list[str]) -> None:
    one = button()
    steps = clicked(one)
    next(steps)
    one.stop.set()
    assert list(steps) == [OVER]
    assert said == [] and one.view("en")["visible"]
    assert OVER in list(clicked(one)) and len(said) == 1  # and again, to its end
