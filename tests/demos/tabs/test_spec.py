"""A tab is its description: what it has is what the page shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Event

import gradio as gr
from gradio.components import Component
from PIL import Image as Pillow

from demos.base.languages import Words
from demos.build import TABS, build
from demos.tabs.spec import Chip, Keep, LiveInput, Media, TabSpec
from demos.turns.sessions import Sessions
from omni.conversation import Image, Part, Text
from tests.support.fake_engine import FakeEngine
from tests.support.page import ask, handler, request, shown, values


def _inputs(words: Words) -> Mapping[str, Component]:
    return {"page": gr.File(label=words.static("pictures"), elem_id="image-page")}


def _parts(media: Media, keep: Keep, stop: Event) -> tuple[Part, ...]:
    return (Image(keep(media["page"], "picture")),) if media["page"] else ()


def page_of(folder: Path, *specs: TabSpec) -> tuple[gr.Blocks, FakeEngine]:
    engine = FakeEngine()
    page = build(engine, Sessions(folder / "root", grace_s=1000), Words(), tabs=specs)  # type: ignore[arg-type]
    return page, engine


def names(page: gr.Blocks) -> set[str]:
    """Of the page's events and components."""
    blocks = {str(getattr(block, "elem_id", "")) for block in page.blocks.values()}
    return blocks | {str(fn.api_name) for fn in page.fns.values()}


def test_a_tab_of_one_input_needs_nothing_else(tmp_path: Path) -> None:
    page, engine = page_of(tmp_path, TabSpec("image", _inputs, _parts))
    known = names(page)
    assert {"image-page", "image-chat", "image_turn"} <= known
    assert not [name for name in known if "-chip-" in name or "example" in name or "live" in name]
    assert not [name for name in known if name.startswith(("audio", "video"))]
    *_, last = ask(page, "echo hello", name="image_turn")
    assert len(last["thread"].entries) == 2
    scan = tmp_path / "scan.png"
    Pillow.new("RGB", (9, 9)).save(scan)
    given = values(page, "image_turn", image_page=str(scan), image_text="what is this?")
    first, *_ = [
        shown("image", changes) for changes in handler(page, "image_turn")(request(), given)
    ]
    assert first["page"] is None  # it is in the chat now
    picture, text = engine.seen[-1].messages[-1].parts
    assert isinstance(picture, Image)
    assert picture.path.name == "scan.png"
    assert text == Text("what is this?")


def test_chips_examples_and_live_are_there_if_described(tmp_path: Path) -> None:
    full = TabSpec("image", _inputs, _parts, (Chip("describe"),), "video", "camera")
    page, _ = page_of(tmp_path, full)
    assert {
        "image-chip-describe",
        "image-example-moves",
        "image_live",
        "image-live-start",
        "image-live-hero",
    } <= names(page)


def test_live_takes_the_camera_only_where_it_is_described(tmp_path: Path) -> None:
    kinds: dict[str, LiveInput | None] = {spec.name: spec.live for spec in TABS}
    assert kinds == {"audio": "microphone", "video": "camera", "image": None}
    page, _ = page_of(tmp_path, *TABS)
    opened = {str(fn.api_name): str(fn.js) for fn in page.fns.values()}
    assert "omniLive.open('audio', false, values)" in opened["audio_live"]
    assert "omniLive.open('video', true, values)" in opened["video_live"]
    assert "image_live" not in opened


def test_nothing_but_tabs_stands_between_the_tabs(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, *TABS)
    (tabs,) = (block for block in page.blocks.values() if isinstance(block, gr.Tabs))
    assert [type(child) for child in tabs.children] == [gr.Tab] * len(TABS)  # or buttons get lost
