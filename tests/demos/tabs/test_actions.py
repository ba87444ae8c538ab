"""What a person does in a chat: ask again, edit, undo, delete, export, import, transcript."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from demos.base.languages import Words
from demos.build import build
from demos.conversations.tools import transcript
from demos.turns.chat import Entry, Thread
from demos.turns.room import storage_full
from demos.turns.sessions import Sessions
from omni.conversation import Audio, Image, Message, Text, Video
from tests.support.fake_engine import FakeEngine
from tests.support.page import ask, event, handler, request, shown, values

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


def talk(page: gr.Blocks, *texts: str) -> Thread:
    thread = Thread()
    for text in texts:
        *_, last = ask(page, text, thread=thread)
        thread = last["thread"]
    return thread


def texts(thread: Thread) -> list[str]:
    return [entry.text.strip() for entry in thread.entries]


def test_ask_again_replaces_the_answer_and_removes_its_file(
    page: gr.Blocks, engine: FakeEngine
) -> None:
    thread = talk(page, "echo one", "echo two")
    old = thread.entries[3].sound
    assert old is not None
    *_, last = ask(page, "", thread=thread, name="audio_retry", event=event(index=[2, 0]))
    now = last["thread"]
    assert texts(now) == texts(thread)
    assert now.entries[:2] == thread.entries[:2]
    assert not old.exists()
    assert now.entries[3].sound is not None
    assert now.entries[3].sound.exists()
    assert [len(seen.messages) for seen in engine.seen] == [1, 3, 3]


def test_a_question_put_differently_replaces_all_after_it(
    page: gr.Blocks, engine: FakeEngine
) -> None:
    thread = talk(page, "echo one", "echo two")
    edited = event(index=0, value=r"echo \*three\* &lt;b>")
    *_, last = ask(page, "half a new question", thread=thread, name="audio_edit", event=edited)
    assert texts(last["thread"]) == ["echo *three* <b>", "*three* <b>"]
    assert len(engine.seen[-1].messages) == 1
    assert not any(path.exists() for path in thread.files())
    assert "text" not in last  # what stands in the text box is another thing


def test_an_edited_question_keeps_its_media(page: gr.Blocks, engine: FakeEngine) -> None:
    picture = Path(__file__)
    asked = Entry(Message("user", (Image(picture), Text("echo old"))))
    thread = Thread((asked, Entry(Message("assistant", (Text("old"),)))))
    list(ask(page, "", thread=thread, name="image_edit", event=event(index=0, value="echo new")))
    assert engine.seen[-1].messages[-1].parts == (Image(picture), Text("echo new"))
    assert picture.exists()
    list(ask(page, "", thread=thread, name="image_edit", event=event(index=0, value="  ")))
    assert engine.seen[-1].messages[-1].parts == (Image(picture),)


def test_a_question_edited_to_nothing_stays(page: gr.Blocks, engine: FakeEngine) -> None:
    thread = talk(page, "echo one")
    (changes,) = ask(page, "", thread=thread, name="audio_edit", event=event(index=0, value=" "))
    assert changes == {"chat": thread.bubbles()}
    assert len(engine.seen) == 1
    assert all(path.exists() for path in thread.files())


def test_undo_gives_the_text_back(page: gr.Blocks) -> None:
    thread = talk(page, "echo one", "echo two")
    changes = shown("audio", handler(page, "audio_undo")(request(), event(index=2), thread))
    assert texts(changes["thread"]) == ["echo one", "one"]
    assert changes["text"] == "echo two"
    assert [path.exists() for path in thread.files()] == [True, False]


def test_delete_takes_one_exchange_out(page: gr.Blocks) -> None:
    thread = talk(page, "echo one", "echo two")
    changes = shown("audio", handler(page, "audio_delete")(request(), event(row=1), thread))
    assert texts(changes["thread"]) == ["echo two", "two"]
    assert [path.exists() for path in thread.files()] == [False, True]


def test_nothing_is_changed_while_an_answer_runs(
    page: gr.Blocks, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", said.append)
    thread = talk(page, "echo one")
    with sessions.get("browser").turn("audio"):
        changes = shown("audio", handler(page, "audio_delete")(request(), event(row=1), thread))
        assert changes == {"chat": thread.bubbles()}
        (changes,) = ask(page, "", thread=thread, name="audio_retry", event=event(index=0))
        assert changes == {"chat": thread.bubbles()}
    assert said == [WORDS.say("en", "turn-busy")] * 2
    assert all(path.exists() for path in thread.files())


def test_parameters_reach_the_engine(page: gr.Blocks, engine: FakeEngine) -> None:
    moved = {"parameter_seed": 11, "parameter_speech_temperature": 0.2}
    given = values(page, "audio_turn", audio_text="hello", **moved)
    list(handler(page, "audio_turn")(request(), given))
    assert engine.options[-1].seed == 11
    assert engine.options[-1].audio.temperature == 0.2
    assert engine.options[-1].first_text == engine.default_options.first_text


def test_export_and_import(page: gr.Blocks, sessions: Sessions) -> None:
    thread = talk(page, "echo one")
    file = Path(handler(page, "audio_export")(request(), thread))
    assert file.parent.parent == sessions.get("browser").folder
    load = handler(page, "audio_import")
    changes = load(request("other"), upload=str(file), thread=talk(page, "echo x"))
    now = shown("audio", changes)["thread"]
    assert texts(now) == ["echo one", "one"]
    assert all(path.parent.parent == sessions.get("other").folder for path in now.files())


def test_a_bad_import_is_one_sentence_and_changes_nothing(
    page: gr.Blocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", said.append)
    (tmp_path / "bad.zip").write_bytes(b"bad")
    thread = talk(page, "echo one")
    load = handler(page, "audio_import")
    changes = load(request(language="zh"), upload=str(tmp_path / "bad.zip"), thread=thread)
    assert shown("audio", changes)["thread"] == thread
    assert said == ["bad.zip 不是从这里导出的对话，或者已损坏。"]
    assert all(path.exists() for path in thread.files())


def test_a_full_disk_is_one_sentence_for_export_saving_and_import(
    page: gr.Blocks, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", said.append)
    *_, last = ask(page, "hello")
    thread = last["thread"]
    exported = handler(page, "audio_export")(request(), thread)
    folder = sessions.get("browser").folder
    before = sorted(folder.rglob("*"))

    def full(*arguments: Any) -> None:
        arguments[-1].write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("demos.conversations.tools.write_conversation", full)
    monkeypatch.setattr("demos.turns.export.shutil.copyfile", full)
    monkeypatch.setattr("demos.turns.export.zipfile.ZipFile.writestr", full_zip)
    monkeypatch.setattr("demos.turns.unpacking.BoundedZip.extract", full)
    assert handler(page, "audio_export")(request(), thread) is None
    assert handler(page, "audio_keep")(request(), event(row=1), thread) is None
    changes = shown("audio", handler(page, "audio_import")(request(), exported, thread))
    assert len(changes["chat"]) == len(thread.bubbles())
    assert changes["send"]["interactive"]
    assert said == [str(storage_full())] * 3
    assert sorted(folder.rglob("*")) == before


def full_zip(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_page_usable(
    page: gr.Blocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demos.turns.turn.write_wav", full_zip)
    *_, last = ask(page, "hello")
    assert (last["send"]["interactive"], last["stop"]["interactive"]) == (True, False)
    assert "word0" in str(last["chat"])
    assert "disk" in str(last["chat"])


def test_an_empty_chat_is_not_exported(page: gr.Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Info", said.append)
    assert handler(page, "audio_export")(request(), Thread()) is None
    assert said == [WORDS.say("en", "chat-is-empty")]


def test_a_transcript_names_media_and_notes() -> None:
    clip = Path("clip.mp4")
    thread = Thread(
        (
            Entry(Message("user", (Image(Path("cat.png")), Video(clip), Audio(clip), Text("*?*")))),
            Entry(Message("assistant", (Text("A cat."),)), note="Stopped."),
            Entry(Message("user", (Audio(Path("q.wav")),))),
            Entry(Message("assistant", ()), sound=Path("answer.wav")),
        )
    )
    assert transcript(thread, WORDS, "en") == (
        "You: [picture: cat.png] [clip: clip.mp4] *?*\n\nOmni: A cat. (Stopped.)\n\n"
        "You: [sound: q.wav]\n\nOmni: [sound: answer.wav]"
    )
    assert "[图片：cat.png]" in transcript(thread, WORDS, "zh")
