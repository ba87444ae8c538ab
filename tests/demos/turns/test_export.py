"""Conversations as zip files: out and in again, and every kind of zip that must not come in."""

from __future__ import annotations

import errno
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demos.tabs.imported import check_medium
from demos.turns import export, unpacking
from demos.turns.chat import Entry, Thread
from demos.turns.export import read_conversation, write_conversation, write_message
from demos.turns.sessions import Session
from omni.conversation import Audio, Image, Message, Speech, Text, Video
from omni.errors import ConversationError, MediaError
from omni.media.limits import limits, set_limits

Write = Callable[..., Path]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path / "sessions")


@pytest.fixture
def thread(tmp_path: Path) -> Thread:
    for name in ("cat.png", "clip.mp4", "answer.wav", "other/answer.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    clip = tmp_path / "clip.mp4"
    speech = Speech(np.zeros((3, 8), np.int32))
    return Thread(
        (
            Entry(Message("user", (Image(tmp_path / "cat.png"), Text("看 <this> *now*")))),
            Entry(
                Message("assistant", (Text("A cat.", (1, 2)), speech), spoken=True),
                tmp_path / "answer.wav",
                note="You stopped this answer.",
            ),
            Entry(Message("user", (Audio(tmp_path / "gone.wav"),)), failed=True),
            Entry(Message("assistant", ()), note="gone.wav is empty.", failed=True),
            Entry(Message("user", (Video(clip), Audio(clip)))),
            Entry(
                Message("assistant", (Text("A clip."), speech), spoken=True),
                tmp_path / "other" / "answer.wav",
            ),
        )
    )


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a zip with a table and files."""

    def make(table: Any, **files: bytes) -> Path:
        path = tmp_path / "import.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            if isinstance(table, dict):
                table = {"format": export.FORMAT, "version": 1} | table
            archive.writestr(export.TABLE, table if isinstance(table, str) else json.dumps(table))
            for name, data in files.items():
                archive.writestr(name, data)
        return path

    return make


def read(path: Path, session: Session, hears: bool = True) -> Thread:
    return read_conversation(path, session.new_file, lambda _: hears, lambda _: None)


def refusal(path: Path, session: Session) -> str:
    with pytest.raises(ConversationError) as caught:
        read(path, session)
    return caught.value.code


def leftovers(session: Session) -> list[Path]:
    return list(session.folder.rglob("*")) if session.folder.exists() else []


def test_a_conversation_comes_back(thread: Thread, session: Session, tmp_path: Path) -> None:
    (tmp_path / "gone.wav").write_bytes(b"")  # of a failed message, which is not exported
    write_conversation(thread, tmp_path / "out.zip")
    back = read(tmp_path / "out.zip", session)
    assert [entry.message.role for entry in back.entries] == ["user", "assistant"] * 2
    asked, answered, clip, last = back.entries
    picture, text = asked.message.parts
    assert isinstance(picture, Image)
    assert picture.path.read_bytes() == b"cat.png"
    assert picture.path.parent.parent == session.folder
    assert text == Text("看 <this> *now*")
    said, speech = answered.message.parts
    assert said == Text("A cat.")  # no ids: they may be another tokenizer's
    assert isinstance(speech, Speech)
    assert speech.codes is None
    assert speech.path == answered.sound
    assert answered.note == "You stopped this answer."
    assert answered.message.spoken
    seen, heard = clip.message.parts
    assert isinstance(seen, Video)
    assert isinstance(heard, Audio)
    assert seen.path == heard.path
    assert last.sound is not None
    assert last.sound.read_bytes() == b"other/answer.wav"  # not the other file of that name


def test_an_answer_that_cannot_be_heard_stays_text(
    thread: Thread, session: Session, tmp_path: Path
) -> None:
    (tmp_path / "gone.wav").write_bytes(b"")
    write_conversation(thread, tmp_path / "out.zip")
    answer = read(tmp_path / "out.zip", session, hears=False).entries[1]
    assert answer.message.parts == (Text("A cat."),)
    assert answer.sound is not None


def picture(name: Any) -> dict[str, Any]:
    return {"role": "user", "parts": [{"type": "image", "file": name}]}


@pytest.mark.parametrize(
    "table",
    [
        "{",
        "[]",
        {"format": "something else", "messages": []},
        {},
        {"messages": {"role": "user"}},
        {"messages": ["hello"]},
        {"messages": [{"role": "system", "parts": []}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "parts": [{"type": "text", "text": 7}]}]},
        {"messages": [{"role": "user", "parts": [{"type": "program", "file": "a.png"}]}]},
        {"messages": [picture("not there.png")]},
        {"messages": [picture("/etc/hostname")]},
        {"messages": [picture(["a.png"])]},
        {"messages": [{"role": "assistant", "parts": [{"type": "text", "text": "first"}]}]},
        {"messages": [picture("a.png"), picture("missing")]},
        "[" * 100_000,
    ],
)
def test_a_table_of_another_form_is_one_sentence(
    write: Write, session: Session, table: Any
) -> None:
    with pytest.raises(ConversationError) as caught:
        read(write(table, **{"a.png": b"picture"}), session)
    assert caught.value.code in ("import-broken", "import-large")
    assert not [file for file in leftovers(session) if file.is_file()]


def test_what_is_no_zip_is_one_sentence(tmp_path: Path, session: Session) -> None:
    for content in (b"", b"PK no zip", b"x" * 1000):
        (tmp_path / "bad.zip").write_bytes(content)
        with pytest.raises(ConversationError, match=r"bad\.zip is not a conversation"):
            read(tmp_path / "bad.zip", session)


def test_a_damaged_zip_leaves_nothing(thread: Thread, session: Session, tmp_path: Path) -> None:
    (tmp_path / "gone.wav").write_bytes(b"")
    path = tmp_path / "out.zip"
    write_conversation(thread, path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"other/answer.wav", b"other/ANSWER.wav"))  # fails its checksum
    with pytest.raises(ConversationError, match="damaged"):
        read(path, session)
    assert not [file for file in leftovers(session) if file.is_file()]


@pytest.mark.parametrize(
    "name",
    ["../../../escaped.png", "/tmp/escaped.png", "media/../../escaped.png", "..", "a\\..\\b"],
)
def test_a_zip_never_chooses_where_its_files_go(
    write: Write, session: Session, tmp_path: Path, name: str
) -> None:
    before = {file for file in tmp_path.rglob("*") if file.is_file()}
    back = read(write({"messages": [picture(name)]}, **{name: b"picture"}), session)
    (image,) = back.entries[0].message.parts
    assert isinstance(image, Image)
    assert image.path.resolve().parent.parent == session.folder.resolve()
    new = {file for file in tmp_path.rglob("*") if file.is_file()} - before
    assert new == {image.path, tmp_path / "import.zip"}


def test_a_newer_version_is_named(write: Write, session: Session) -> None:
    with pytest.raises(ConversationError) as caught:
        read(write({"version": 2, "messages": []}), session)
    assert caught.value.code == "import-version"


def test_limits(write: Write, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MAX_MESSAGES", 2)
    monkeypatch.setattr(export, "MAX_FILES", 1)
    many = {"messages": [picture("a")] * 3}
    two_files = {"messages": [picture("a"), picture("b")]}
    for table in (many, two_files):
        with pytest.raises(ConversationError) as caught:
            read(write(table, a=b"1", b=b"2"), session)
        assert caught.value.code == "import-large"
    monkeypatch.setattr(export, "MAX_TABLE_BYTES", 10)
    with pytest.raises(ConversationError) as caught:
        read(write({"messages": []}), session)
    assert caught.value.code == "import-large"


@pytest.mark.parametrize("files", [1, 40])
def test_a_zip_bomb_is_not_unpacked(write: Write, session: Session, files: int) -> None:
    names = [f"zeros{number}" for number in range(files)]
    size = 12_000_000 if files == 1 else 2_000_000  # one alone is too dense, or all together are
    path = write(
        {"messages": [picture(name) for name in names]}, **dict.fromkeys(names, bytes(size))
    )
    assert path.stat().st_size < 200_000
    assert refusal(path, session) == "import-large"
    assert not [file for file in leftovers(session) if file.is_file()]


def test_what_a_zip_says_of_its_sizes_is_not_believed(
    write: Write, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "SLACK_BYTES", 10_000)
    path = write({"messages": [picture("zeros")]}, zeros=bytes(3_000_000))
    content = path.read_bytes()
    place = content.rindex(b"PK\x01\x02") + 24
    path.write_bytes(content[:place] + (10).to_bytes(4, "little") + content[place + 4 :])
    assert refusal(path, session) in ("import-large", "import-broken")
    assert not [file for file in leftovers(session) if file.is_file()]


def test_a_file_beyond_the_limits_of_media_is_not_unpacked(write: Write, session: Session) -> None:
    path = write({"messages": [picture("noise")]}, noise=os.urandom(300_000))
    assert len(read(path, session).entries) == 1
    before = limits()
    set_limits(replace(before, file_bytes=200_000))
    try:
        assert refusal(path, session) == "import-large"
    finally:
        set_limits(before)


def test_a_zip_of_very_many_names_is_not_opened(tmp_path: Path, session: Session) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}", b"")
    assert refusal(path, session) == "import-large"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_without_bounds_are_not_read(
    tmp_path: Path, session: Session, method: int
) -> None:
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(export.TABLE, json.dumps({"format": export.FORMAT, "version": 1}))
    assert refusal(path, session) == "import-broken"


def test_an_import_has_its_time(write: Write, session: Session) -> None:
    path = write({"messages": [picture("a")]}, a=b"picture")
    before = limits()
    set_limits(replace(before, decode_s=-1.0))
    try:
        assert refusal(path, session) == "import-large"
    finally:
        set_limits(before)


def test_a_medium_that_is_not_what_it_says_is_refused(write: Write, session: Session) -> None:
    path = write({"messages": [picture("a.png")]}, **{"a.png": b"<svg onload='alert(1)'/>"})
    with pytest.raises(MediaError) as caught:
        read_conversation(path, session.new_file, lambda _: True, check_medium)
    assert caught.value.code == "image-unreadable"
    assert not [file for file in leftovers(session) if file.is_file()]


def test_a_full_disk_leaves_nothing_of_an_import(
    write: Write, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write({"messages": [picture("a"), picture("b")]}, a=b"one", b=b"two")
    extract = unpacking.BoundedZip.extract

    def full(self: unpacking.BoundedZip, name: str, target: Path) -> None:
        extract(self, name, target)
        if name == "b":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(unpacking.BoundedZip, "extract", full)
    with pytest.raises(OSError, match="No space"):
        read(path, session)
    assert not [file for file in leftovers(session) if file.is_file()]


def test_a_message_is_saved_as_what_it_is(thread: Thread, session: Session, tmp_path: Path) -> None:
    text = write_message([Entry(Message("user", (Text("hi"), Text(" you"))))], session.new_file)
    assert text is not None
    assert (text.name, text.read_text(encoding="utf-8")) == ("message.txt", "hi you\n")
    clip = write_message(thread.rows()[4], session.new_file)
    assert clip is not None
    assert (clip.name, clip.read_bytes()) == ("clip.mp4", b"clip.mp4")
    assert clip != tmp_path / "clip.mp4"
    assert (
        write_message([Entry(Message("assistant", ()), note="stopped")], session.new_file) is None
    )


def test_a_message_of_several_files_is_saved_as_a_zip(
    thread: Thread, session: Session, tmp_path: Path
) -> None:
    first, last = thread.entries[1], thread.entries[5]
    path = write_message([first, last], session.new_file)
    assert path is not None
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["message.txt", "answer.wav", "2-answer.wav"]
        assert archive.read("message.txt").decode() == "A cat.\n\nA clip.\n"
        assert archive.read("2-answer.wav") == b"other/answer.wav"
