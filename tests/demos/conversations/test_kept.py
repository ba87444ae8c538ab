"""The server's part of keeping: what the browser is told, and how it brings a chat back."""

from __future__ import annotations

import gc
import json
import shutil
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest

from demos.base.given import GivenError
from demos.base.languages import Words
from demos.build import build
from demos.conversations.kept import LONGEST_ID, Wish, described_to_browser
from demos.conversations.panel import SAID
from demos.conversations.shelf import Shelf, moved
from demos.turns.chat import Entry, Thread
from demos.turns.export import write_conversation
from demos.turns.room import Quota
from demos.turns.sessions import Sessions
from omni.conversation import Audio, Image, Message, Speech, Text, Video
from omni.errors import ResourceError
from tests.support.fake_engine import FakeEngine
from tests.support.page import ask, handler, request, shown

WORDS = Words()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path / "root", grace_s=1000)


@pytest.fixture
def page(engine: FakeEngine, sessions: Sessions) -> gr.Blocks:
    return build(engine, sessions, Words())  # type: ignore[arg-type]


def talk(page: gr.Blocks, text: str, thread: Thread | None = None) -> Thread:
    *_, last = ask(page, text, thread=thread)
    return last["thread"]


def tell(page: gr.Blocks, thread: Thread, key: str = "browser") -> dict[str, Any]:
    changes = shown("audio", handler(page, "audio_told")(request(key), thread))
    assert set(changes) <= {"told", "transcript"}
    return json.loads(changes["told"])


def bring(
    page: gr.Blocks, key: str, thread: Thread | None = None, upload: Path | None = None, **wish: Any
) -> dict[str, Any]:
    text = json.dumps({"number": 1, "id": "mine", "secret": "", "back": True} | wish)
    path = str(upload) if upload else None
    changes = handler(page, "audio_bring")(request(key), path, text, thread or Thread())
    named = shown("audio", changes)
    assert json.loads(named["answer"])["number"] == 1
    return named | {"state": json.loads(named["answer"])["state"]}


def test_a_chat_has_a_name_from_its_first_message_on(page: gr.Blocks) -> None:
    assert Thread().id == ""
    one = talk(page, "echo one")
    two = talk(page, "echo two", one)
    assert one.id
    assert two.id == one.id == two.before(2).id
    assert talk(page, "echo three").id != one.id


def test_the_browser_is_told_what_to_keep(page: gr.Blocks) -> None:
    thread = talk(page, "echo one")
    data = tell(page, thread)
    assert data["id"] == thread.id
    assert [message["role"] for message in data["table"]["messages"]] == ["user", "assistant"]
    (file,) = data["files"]
    assert Path(file["path"]) == thread.entries[1].sound
    assert file["size"] == Path(file["path"]).stat().st_size
    assert file["name"] == data["table"]["messages"][1]["sound"]
    assert data["whole"]
    assert tell(page, Thread())["id"] == ""


def test_the_transcript_of_another_conversation_goes(page: gr.Blocks) -> None:
    keep, one = handler(page, "audio_told"), talk(page, "echo one")
    assert "transcript" in shown("audio", keep(request(), one))
    assert "transcript" not in shown("audio", keep(request(), talk(page, "echo two", one)))
    gone = shown("audio", keep(request(), Thread()))["transcript"]
    assert (gone["value"], gone["visible"]) == ("", False)


def test_files_that_are_gone_and_failed_questions_are_not_told(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"x")
    gone = Message("user", (Image(tmp_path / "gone.png"), Text("look")))
    thread = Thread(
        (Entry(gone), Entry(Message("user", (Image(tmp_path / "bad.png"),)), failed=True))
    )
    data = described_to_browser(thread, "secret")
    assert data["files"] == []
    assert not data["whole"]
    assert len(data["table"]["messages"]) == 1


def test_a_page_that_comes_back_gets_its_chat_by_reference(
    page: gr.Blocks, engine: FakeEngine, sessions: Sessions
) -> None:
    thread = talk(page, "echo one")
    secret = tell(page, thread)["secret"]
    assert sessions.get("browser").folder.name not in secret
    named = bring(page, "later", secret=secret, id=thread.id)
    assert named["state"] == "shown"
    now = named["thread"]
    assert now.id == thread.id
    assert len(named["chat"]) == 2
    sound = now.entries[1].sound
    assert sound is not None
    assert sessions.get("later").folder in sound.parents
    assert sound.samefile(thread.entries[1].sound or "")
    sessions.get("browser").remove()  # the page before
    assert sound.exists()
    *_, last = ask(page, "echo two", key="later", thread=now)
    assert len(engine.seen[-1].messages) == 3  # the question goes with its history
    assert len(last["thread"].entries) == 4


@pytest.mark.parametrize("secret", ["", "guessed", "\u2603"])
def test_no_other_secret_opens_it(page: gr.Blocks, secret: str) -> None:
    tell(page, talk(page, "echo one"))
    named = bring(page, "stranger", secret=secret)
    assert named["state"] == "absent"
    assert "chat" not in named


def test_a_session_that_ended_leaves_nothing_to_bring(
    page: gr.Blocks, sessions: Sessions, tmp_path: Path
) -> None:
    thread = talk(page, "echo one")
    secret = tell(page, thread)["secret"]
    kept = tmp_path / "kept.zip"
    write_conversation(thread, kept)
    sessions.get("browser").remove()
    assert bring(page, "later", secret=secret)["state"] == "absent"
    named = bring(page, "later", upload=kept, id="mine")
    assert named["state"] == "shown"
    assert named["thread"].id == "mine"
    assert [entry.text.strip() for entry in named["thread"].entries] == ["echo one", "one"]
    assert not kept.exists()  # what was uploaded is unpacked and gone


def test_names_do_not_grow_with_each_return(page: gr.Blocks, tmp_path: Path) -> None:
    thread = talk(page, "echo one")
    for number in range(3):
        kept = tmp_path / f"{number}.zip"
        write_conversation(thread, kept)
        thread = bring(page, f"visit-{number}", upload=kept)["thread"]
    assert thread.entries[1].sound is not None
    assert thread.entries[1].sound.name == "answer.wav"


def test_a_page_that_comes_back_disturbs_nothing(page: gr.Blocks, sessions: Sessions) -> None:
    thread = talk(page, "echo one")
    secret = tell(page, thread)["secret"]
    typed = talk(page, "echo two")
    assert bring(page, "browser", typed, secret=secret)["state"] == "there"
    with sessions.get("browser").turn("audio"):
        assert bring(page, "browser", secret=secret)["state"] == "there"
    for file in typed.files():
        shutil.rmtree(file.parent)  # as after a long sleep
    assert bring(page, "browser", typed, secret=secret)["state"] == "shown"


def test_one_that_is_opened_takes_the_place_of_what_is_shown(
    page: gr.Blocks, tmp_path: Path
) -> None:
    former, other = talk(page, "echo one"), talk(page, "echo two")
    kept = tmp_path / "kept.zip"
    write_conversation(other, kept)
    named = bring(page, "browser", former, kept, back=False)
    assert named["state"] == "shown"
    assert not any(path.exists() for path in former.files())
    empty = bring(page, "browser", named["thread"], back=False, id="")
    assert empty["state"] == "shown"
    assert empty["chat"] == []
    assert empty["thread"].entries == ()


def test_a_broken_zip_is_one_sentence(
    page: gr.Blocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", said.append)
    broken = tmp_path / "kept.zip"
    broken.write_bytes(b"no zip")
    named = bring(page, "browser", upload=broken)
    assert named["state"] == "failed"
    assert "damaged" in said[0]
    assert "chat" not in named


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"number": 1}',
        '{"number": "1", "id": "a", "back": true}',
        '{"number": 1, "id": 2, "back": true}',
        '{"number": 1, "id": "a", "back": 1}',
        json.dumps({"number": 1, "id": "a" * (LONGEST_ID + 1), "back": True}),
        "[" * 100_000,
    ],
)
def test_forged_wishes_are_refused(text: str) -> None:
    with pytest.raises(GivenError):
        Wish.read(text)


def test_every_file_of_a_chat_moves(tmp_path: Path, sessions: Sessions) -> None:
    names = ("a.png", "b.wav", "c.mp4", "d.wav")
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    picture, sound, clip, answer = (tmp_path / name for name in names)
    asked = Message("user", (Image(picture), Audio(sound), Video(clip), Audio(clip), Text("?")))
    codes = np.zeros((3, 8), np.int32)
    answered = Message("assistant", (Text("!", (1, 2)), Speech(codes, answer)), spoken=True)
    thread = Thread((Entry(asked), Entry(answered, answer)), "mine")
    session = sessions.get("later")
    now = moved(thread, session)
    assert now.id == "mine"
    assert len(now.files()) == len(thread.files())
    assert all(session.folder in path.parents for path in now.files())
    assert [path.read_bytes() for path in now.files()] == [
        path.read_bytes() for path in thread.files()
    ]
    text, speech = now.entries[1].message.parts
    assert text == Text("!", (1, 2))
    assert isinstance(speech, Speech)
    assert speech.codes is codes
    assert speech.path == now.entries[1].sound


def test_nothing_of_half_a_move_stays(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"x" * 100)
    thread = Thread((Entry(Message("user", tuple(map(Image, sorted(tmp_path.glob("*.png")))))),))
    (tmp_path / "b.png").unlink()
    sessions = Sessions(tmp_path / "root", grace_s=1000)
    with pytest.raises(FileNotFoundError):
        moved(thread, sessions.get("later"))
    assert not list(sessions.get("later").folder.glob("*"))
    tight = Sessions(tmp_path / "tight", grace_s=1000, quota=Quota(session=-1))
    with pytest.raises(ResourceError):
        moved(thread, tight.get("later"))


def test_the_shelf_holds_nothing_longer_than_its_session(sessions: Sessions) -> None:
    shelf, session = Shelf(), sessions.get("browser")
    secret = shelf.put(session, "audio", Thread((Entry(Message("user", (Text("a"),))),)))
    assert shelf.put(session, "image", Thread()) == secret
    later = sessions.get("later")
    assert shelf.take(later, "audio", secret) is not None
    assert shelf.take(later, "image", secret) is None
    assert shelf.take(later, "video", secret) is None
    sessions.leave("browser")
    sessions._leaving["browser"] = 0.0
    sessions.sweep()
    assert shelf.take(later, "audio", secret) is None
    del session
    gc.collect()
    assert not shelf._held


def test_the_browser_has_words_for_all_that_it_says(page: gr.Blocks) -> None:
    speak = handler(page, "conversations_words")
    for language, locale in (("en", "en"), ("zh", "zh-CN")):
        said = json.loads(speak(request(language=language)))
        assert said["locale"] == locale
        assert set(said["words"]) == set(SAID)
        assert all(said["words"].values())
    assert "{title}" in said["words"]["rename"]
