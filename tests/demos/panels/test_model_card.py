"""The model card on a computer that speaks slower than it is heard: said, and left to choice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from demos.base.languages import Words
from demos.build import build
from demos.panels.model_state import speaks_slowly
from demos.turns.sessions import Sessions
from tests.support.fake_engine import FakeEngine
from tests.support.page import request

BOXES = ("audio-speak", "video-speak", "image-speak")


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    list(engine.load())
    return engine


def slow(engine: FakeEngine, speech_s: float) -> None:
    assert engine.report is not None
    engine.trained = True
    engine.report = replace(
        engine.report, checkpoint="a-7b", trained=True, speech_s=speech_s, max_pixels=390_000
    )


@pytest.fixture
def page(engine: FakeEngine, tmp_path: Path) -> gr.Blocks:
    return build(engine, Sessions(tmp_path / "sessions"), Words())  # type: ignore[arg-type]


def component(page: gr.Blocks, name: str) -> Any:
    return next(block for block in page.blocks.values() if getattr(block, "elem_id", "") == name)


def results(page: gr.Blocks, name: str, language: str = "en") -> list[dict[str, Any]]:
    """What the events of a page's arrival show in the component ``name``."""
    wanted, found = component(page, name), []
    for function in page.fns.values():
        on_load = any(kind == "load" for _, kind in function.targets)
        if not on_load or wanted not in function.outputs:
            continue
        if name in BOXES:
            changes = function.fn()[function.outputs.index(wanted)]
        else:
            changes = function.fn(request(language=language))[wanted]
        found.append(changes)
    return found


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_is_said_how_slow_speech_is(engine: FakeEngine, page: gr.Blocks, language: str) -> None:
    slow(engine, speech_s=14.6)
    (banner,) = results(page, "model-banner", language)
    assert banner["visible"] and "15" in banner["value"] and "0.4" in banner["value"]
    assert {"en": "Answer in speech", "zh": "用语音回答"}[language] in banner["value"]


def test_nothing_is_said_of_a_fast_one(engine: FakeEngine, page: gr.Blocks) -> None:
    slow(engine, speech_s=0.4)
    (banner,) = results(page, "model-banner")
    assert not banner["visible"]


def test_text_comes_first_where_speech_is_slow(engine: FakeEngine, page: gr.Blocks) -> None:
    slow(engine, speech_s=3.0)
    for box in BOXES:
        (change,) = results(page, box)
        assert change["value"] is False
    slow(engine, speech_s=0.0)  # not measured: a GPU, or a small model
    assert not speaks_slowly(engine)  # type: ignore[arg-type]
    for box in BOXES:
        (change,) = results(page, box)
        assert "value" not in change
