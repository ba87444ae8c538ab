"""The model card on a computer that speaks slower than it is heard: said, and left to choice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from demos.base.languages import Words
from demos.base.owner import Owner
from demos.build import build
from demos.panels.model_state import chip_sentence, speaks_slowly, version
from demos.turns.sessions import Sessions
from omni import devices
from omni.errors import ResourceError
from omni.loading import placement
from omni.loading.outlook import fits
from omni.settings import PUBLISHED_MODEL, EngineSettings
from tests.support.fake_engine import FakeEngine
from tests.support.page import handler, request, values

BOXES = ("audio-speak", "video-speak", "image-speak", "parameter-write-down")


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


def changes_of(page: gr.Blocks, name: str, asker: Any = None) -> dict[str, Any]:
    """What a handler changes, by the ids of components; its inputs stand as they are shown."""
    given = values(page, name)
    return {one.elem_id: now for one, now in handler(page, name)(asker or request(), given).items()}


@pytest.mark.parametrize(
    ("language", "chips"),
    [
        ("en", ("No model", "Loading 0 %", "nano · ready")),
        ("zh", ("未加载模型", "加载中 0 %", "nano · 就绪")),
    ],
)
def test_the_chip_says_it_in_three_words(
    tmp_path: Path, language: str, chips: tuple[str, str, str]
) -> None:
    engine, words = FakeEngine(), Words()

    def chip() -> str:
        return chip_sentence(words, language, engine)  # type: ignore[arg-type]

    assert chip() == chips[0]
    steps = engine.load()
    next(steps)
    assert chip() == chips[1]
    list(steps)
    assert chip() == chips[2]


def test_every_page_sees_that_something_has_become_of_the_model(page: gr.Blocks) -> None:
    engine = FakeEngine()
    seen = [version(engine)]  # type: ignore[arg-type]
    for _ in engine.load():
        seen.append(version(engine))  # type: ignore[arg-type]
    seen.append(version(engine))  # type: ignore[arg-type]
    assert len(set(seen)) == 3 == len(set(seen[:2] + seen[-1:]))  # before, while, after
    engine.settings = EngineSettings("owner/model")
    assert version(engine) not in seen  # type: ignore[arg-type]


def test_a_stranger_sees_the_state_and_not_the_choices(engine: FakeEngine, tmp_path: Path) -> None:
    owner = Owner(private=False)
    page = build(engine, Sessions(tmp_path / "s"), Words("en"), owner=owner)  # type: ignore[arg-type]
    shown = {one.elem_id: now for one, now in handler(page, "model_status")(request()).items()}
    assert shown["model-open"] == "nano · ready" and "loaded in" in shown["model-status"]
    assert shown["model-choice"] == {"visible": False, "__type__": "update"}
    assert not component(page, "model-choice").visible
    assert set(changes_of(page, "model_outlook").values()) == {""}


def test_the_owner_is_told_what_fits(page: gr.Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits, "free_bytes", lambda device: {device: 16_000_000_000})
    monkeypatch.setattr(fits, "_vocoder_to_fetch", lambda: 0)
    monkeypatch.setattr(fits, "folder_of", lambda name: None)
    monkeypatch.setattr(fits, "check_available", lambda bits, device: None)
    monkeypatch.setattr(placement, "runs_here", lambda device: True)
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: True)
    shown = changes_of(page, "model_outlook")
    verdict, table = shown["model-verdict"], shown["model-outlook"]
    assert "nano fits without quantization" in verdict and "16.1 GB" in verdict  # with its room
    assert "on this disk" in table and "22.0 GB to download" in table
    assert table.count('data-fits="no"') == 4 and table.count('aria-current="true"') == 1

    def said(model: str, quantization: str = "auto") -> str:
        choices = {"model_name": model, "model_quantization": quantization}
        given = values(page, "model_outlook", model_device="cpu", **choices)
        now = handler(page, "model_outlook")(
            request(language="zh" if "x" in model else "en"), given
        )
        return next(text for one, text in now.items() if one.elem_id == "model-verdict")

    assert "fits in 4 bits" in said(PUBLISHED_MODEL)
    assert "does not fit" in said(PUBLISHED_MODEL, "none") and "would fit in 4 bits" in said(
        PUBLISHED_MODEL, "none"
    )
    assert "will be known once it is fetched" in said("owner/model")
    assert "is not a folder" in said("/nowhere") and "不是文件夹" in said("/nowherex")


def test_the_estimate_says_why_bits_do_not_run_here(
    page: gr.Blocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(bits: str, device: str) -> None:
        if bits != "none":
            raise ResourceError(
                "quantization-missing", "{quantization} needs it.", quantization=bits
            )

    monkeypatch.setattr(fits, "check_available", refuse)
    table = changes_of(page, "model_outlook")["model-outlook"]
    assert table.count('data-fits="refused"') == 6 and "8bit needs it." in table
