"""The page to share: everything in one file, nothing of it runs."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from demos.base.languages import Words
from demos.build import build
from demos.conversations import replay
from demos.conversations.replay import title_of, write_replay
from demos.turns.chat import Entry, Thread
from demos.turns.sessions import Sessions
from omni.conversation import Audio, Image, Message, Speech, Text, Video
from tests.support.fake_engine import FakeEngine
from tests.support.page import ask, handler, request

HOSTILE = """<script>alert(1)</script><img src=x onerror=alert(2)> [a](javascript:alert(3))
" onload="alert(4) '><svg/onload=alert(5)> </p></li></main> ![b](https://elsewhere.test/c.png)"""


class Parsed(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def written(thread: Thread, tmp_path: Path, language: str = "en") -> tuple[Parsed, str, list[str]]:
    path = tmp_path / "page.html"
    left_out = write_replay(thread, path, Words(), language, "2026-11-28")
    page = path.read_text(encoding="utf-8")
    return Parsed(page), page, left_out


def said(text: str, role: Any = "user", **more: Any) -> Entry:
    return Entry(Message(role, (Text(text),)), **more)


def test_all_media_are_inside(tmp_path: Path) -> None:
    for name in ("cat.png", "clip.mp4", "voice.ogg", "answer.wav", "odd"):
        (tmp_path / name).write_bytes(name.encode() * 300_000)
    parts = (Image(tmp_path / "cat.png"), Image(tmp_path / "odd"), Audio(tmp_path / "voice.ogg"))
    clip = tmp_path / "clip.mp4"
    answer = Message("assistant", (Text("A cat."), Speech(path=tmp_path / "answer.wav")))
    thread = Thread(
        (
            Entry(Message("user", (*parts, Text("What is this?")))),
            Entry(answer, tmp_path / "answer.wav", note="You stopped this answer."),
            Entry(Message("user", (Video(clip), Audio(clip)))),
            said("gone", failed=True),
        )
    )
    parsed, page, left_out = written(thread, tmp_path)
    assert left_out == []
    sources = {
        tag: [str(element["src"]) for element in parsed.all(tag)]
        for tag in ("img", "audio", "video")
    }
    assert [len(sources[tag]) for tag in ("img", "audio", "video")] == [2, 2, 1]
    assert sources["img"][0].startswith("data:image/png;base64,")
    assert sources["img"][1].startswith("data:image/png;base64,")  # whatever its name says
    kind, data = sources["audio"][1].split(",")
    assert re.fullmatch(r"data:audio/(x-)?wav;base64", kind)
    assert base64.b64decode(data) == (tmp_path / "answer.wav").read_bytes()
    assert "You stopped this answer." in parsed.text
    assert "gone" not in parsed.text
    assert parsed.all("html")[0]["lang"] == "en"
    assert "http" not in page.replace("http-equiv", "")


def test_nothing_of_a_message_is_markup(tmp_path: Path) -> None:
    name = 'a"><script>alert(6)</script>.png'
    picture = tmp_path / "odd \udcff name.png"
    picture.write_bytes(b"x")
    odd = tmp_path / name.replace("/", "-")
    odd.write_bytes(b"x")
    thread = Thread(
        (
            said(HOSTILE),
            said(HOSTILE + "\ud800", "assistant", note=HOSTILE),
            Entry(Message("user", (Image(picture), Image(odd)))),
        )
    )
    parsed, page, _ = written(thread, tmp_path)
    tags = {tag for tag, _ in parsed.elements}
    assert not tags & {"script", "svg", "a", "iframe", "object", "link", "form"}
    for _, attributes in parsed.elements:
        assert not [key for key in attributes if key.startswith("on")]
        for key in ("src", "href"):
            assert str(attributes.get(key) or "data:").startswith("data:")
    assert parsed.text.count("<script>alert(1)</script>") == 5  # title twice, and as it was said
    assert "\ufffd" in page
    (policy,) = [one["content"] for one in parsed.all("meta") if one.get("http-equiv")]
    assert str(policy).startswith("default-src 'none'")
    assert "script-src" not in str(policy)


def test_it_speaks_the_language_of_the_page(tmp_path: Path) -> None:
    parsed, _, _ = written(Thread((said("你好"), said("您好", "assistant"))), tmp_path, "zh")
    assert parsed.all("html")[0]["lang"] == "zh-CN"
    assert "与 Baichuan-Omni-1.5 的对话" in parsed.text


def test_what_is_too_much_is_left_out_and_said(tmp_path: Path) -> None:
    for name, size in (("one.png", 8), ("two.png", 8), ("three.png", 2)):
        (tmp_path / name).write_bytes(b"x" * size)
    names = ("one.png", "two.png", "three.png", "gone.png")
    images = tuple(Image(tmp_path / name) for name in names)
    thread = Thread((Entry(Message("user", images)),))
    path = tmp_path / "page.html"
    with path.open("w", encoding="utf-8") as out:
        made = replay.Replay(Words(), "en", out, most=10)
        made.write(thread, "today")
    assert made.left_out == ["two.png", "gone.png"]
    parsed = Parsed(path.read_text(encoding="utf-8"))
    assert len(parsed.all("img")) == 2
    assert "two.png is not in this page." in parsed.text
    assert "2 files are not in the page" in parsed.text


def test_the_title_is_the_first_words() -> None:
    assert title_of(Thread()) == ""
    assert title_of(Thread((said("", "user"), said("Yes.", "assistant")))) == "Yes."
    assert title_of(Thread((said(" two\n lines "),))) == "two lines"
    assert len(title_of(Thread((said("word " * 100),)))) == replay.TITLE_CHARACTERS


def test_the_button_makes_a_file_of_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(gr, "Info", told.append)
    sessions = Sessions(tmp_path / "root", grace_s=1000)
    page = build(FakeEngine(), sessions, Words())  # type: ignore[arg-type]
    make = handler(page, "audio_replay")
    assert make(request(), Thread()) is None
    assert told == [Words().say("en", "chat-is-empty")]
    *_, last = ask(page, "echo hello")
    made = Path(make(request(language="zh"), last["thread"]))
    assert sessions.get("browser").folder in made.parents
    assert made.suffix == ".html"
    assert "<audio controls" in made.read_text(encoding="utf-8")
