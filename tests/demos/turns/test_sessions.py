"""Session folders: private, kept as long as the session, gone after it."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from demos.turns import sessions as module
from demos.turns.room import Quota
from demos.turns.sessions import Session, Sessions, TurnBusy, new_root
from omni.errors import ResourceError


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path / "root", grace_s=1000)


def upload(sessions: Sessions, name: str = "voice.wav", content: bytes = b"sound") -> Path:
    """A file as Gradio stores it: in a folder named after its content."""
    folder = sessions.root / f"hash-of-{content.hex()}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return path


def test_two_sessions_get_copies_of_their_own(sessions: Sessions) -> None:
    file = upload(sessions)
    first, second = sessions.get("a").keep(file), sessions.get("b").keep(file)
    assert first != second
    assert first.read_bytes() == second.read_bytes() == b"sound"
    assert first.name == "voice.wav"
    assert sessions.get("a").folder != sessions.get("b").folder


def test_folders_cannot_be_guessed_from_what_a_client_sends(sessions: Sessions) -> None:
    session = sessions.get("../../known")
    assert session.folder.parent == sessions.root / "sessions"
    assert "known" not in str(session.folder)
    assert len(session.folder.name) >= 20


def test_folders_are_private(sessions: Sessions) -> None:
    kept = sessions.get("a").keep(upload(sessions))
    for folder in (kept.parent, kept.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_upload_is_copied_once_per_session_and_again_when_it_changed(sessions: Sessions) -> None:
    file, session = upload(sessions), sessions.get("a")
    kept = session.keep(file)
    assert session.keep(file) == kept
    os.utime(file, ns=(1, 1))
    assert session.keep(file) != kept


def test_a_kept_upload_survives_its_original(sessions: Sessions) -> None:
    file, session = upload(sessions), sessions.get("a")
    kept = session.keep(file)
    file.unlink()
    assert session.keep(file) == kept


def test_an_upload_that_is_gone_is_told(sessions: Sessions) -> None:
    with pytest.raises(FileNotFoundError):
        sessions.get("a").keep(sessions.root / "nowhere" / "x.wav")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", ".hidden", "a\nb.wav", "…", "x" * 300 + ".wav"]
)
def test_file_names_stay_inside_the_folder(sessions: Sessions, name: str) -> None:
    session = sessions.get("a")
    path = session.new_file(name)
    path.write_bytes(b"")
    assert path.resolve().parent.parent == session.folder.resolve()
    assert not path.name.startswith(".")
    assert "\n" not in path.name
    assert Path(name).suffix in ("", path.suffix)


def test_a_session_that_left_is_removed_with_its_uploads(sessions: Sessions) -> None:
    sessions._grace_s = 0
    mine, others = upload(sessions, content=b"mine"), upload(sessions, content=b"others")
    kept = sessions.get("a").keep(mine)
    sessions.get("b").keep(others)
    sessions.leave("a")
    sessions.sweep()
    assert not kept.exists()
    assert not mine.exists()
    assert others.exists()
    assert sessions.get("b").folder.exists()


def test_an_upload_that_another_session_sent_again_stays(sessions: Sessions) -> None:
    sessions._grace_s = 0
    file = upload(sessions)
    sessions.get("a").keep(file)
    time.sleep(0.01)
    upload(sessions)  # the same content, chosen by someone else
    sessions.leave("a")
    sessions.sweep()
    assert file.exists()


def test_a_session_that_comes_back_in_time_keeps_its_files(sessions: Sessions) -> None:
    kept = sessions.get("a").keep(upload(sessions))
    sessions.leave("a")
    sessions.get("a")  # the phone woke up
    sessions._leaving = dict.fromkeys(sessions._leaving, 0.0)
    sessions.sweep()
    assert kept.exists()


def test_uploads_that_nobody_sent_do_not_stay(sessions: Sessions) -> None:
    old, new = upload(sessions, content=b"old"), upload(sessions, content=b"new")
    long_ago = time.time() - module.UPLOAD_LIFETIME_S - 1
    os.utime(old, (long_ago, long_ago))
    sessions.sweep()
    assert not old.exists()
    assert new.exists()


def test_what_an_upload_that_broke_off_left_does_not_stay(sessions: Sessions) -> None:
    deep = sessions.root / "stream" / "of" / "parts"
    deep.mkdir(parents=True)
    left = sessions.root / "tmpabcdef12", deep / "1.ts"
    long_ago = time.time() - module.UPLOAD_LIFETIME_S - 1
    for file in left:
        file.write_bytes(b"half")
        os.utime(file, (long_ago, long_ago))
    (new := sessions.root / "tmpnew").write_bytes(b"under way")
    empty = sessions.root / "empty"
    empty.mkdir()
    os.utime(empty, (long_ago, long_ago))
    kept = sessions.get("a").keep(upload(sessions))
    sessions.sweep()
    assert not any(file.exists() for file in (*left, empty))
    assert new.exists()
    assert kept.exists()


def test_uploads_go_sooner_where_all_room_is_used_up(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "root", grace_s=1000, quota=Quota(10, 10))
    file = upload(sessions, content=b"more than ten bytes")
    a_while_ago = time.time() - module.CROWDED_LIFETIME_S - 1
    os.utime(file, (a_while_ago, a_while_ago))
    sessions.sweep()
    assert not file.exists()


def test_a_session_keeps_no_more_than_its_quota(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "root", grace_s=1000, quota=Quota(session=10, everybody=1000))
    session = sessions.get("a")
    session.keep(upload(sessions, content=b"12345678"))
    with pytest.raises(ResourceError) as caught:
        session.keep(upload(sessions, content=b"abc"))
    assert caught.value.code == "session-full"
    sessions.get("b").keep(upload(sessions, content=b"abc"))
    session.forget(list(session.folder.rglob("voice.wav")))
    assert session.keep(upload(sessions, content=b"xyz")).read_bytes() == b"xyz"


def test_all_sessions_keep_no_more_than_theirs(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "root", grace_s=1000, quota=Quota(session=10, everybody=12))
    first = upload(sessions, content=b"12345678")
    sessions.get("a").keep(first)  # one file with two names
    (sessions.root / "tmpunsent").write_bytes(b"12345")
    with pytest.raises(ResourceError) as caught:
        sessions.get("b").new_file("answer.wav", 1)
    assert caught.value.code == "sessions-full"
    assert not list(sessions.get("b").folder.glob("*"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_of_a_copy(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(number, "No space left on device")

    monkeypatch.setattr(module, "link_or_copy", full)
    session = sessions.get("a")
    with pytest.raises(ResourceError) as caught:
        session.keep(upload(sessions))
    assert caught.value.code == "storage-full"
    assert not list(session.folder.iterdir())
    monkeypatch.undo()
    assert session.keep(upload(sessions)).exists()


def test_a_full_disk_has_no_room_for_a_folder(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(ResourceError) as caught:
        sessions.get("a").new_file("answer.wav")
    assert caught.value.code == "storage-full"


def test_sessions_of_scripts_end_after_a_day(sessions: Sessions) -> None:
    session = sessions.get("script")
    kept = session.keep(upload(sessions))
    session.last_seen -= module.SESSION_IDLE_S + 1
    sessions.sweep()
    assert not kept.exists()


def test_closing_removes_everything(sessions: Sessions) -> None:
    session = sessions.get("a")
    session.keep(upload(sessions))
    with session.turn("audio") as stop:
        sessions.close()
        assert stop.is_set()
    assert not sessions.root.exists()


def test_stop_reaches_the_turn_of_its_tab_only(sessions: Sessions) -> None:
    session = sessions.get("a")
    with session.turn("audio") as audio, session.turn("image") as image:
        session.stop("audio")
        assert audio.is_set()
        assert not image.is_set()
        sessions.leave("a")
        assert image.is_set()


def test_a_tab_runs_one_turn_at_a_time(sessions: Sessions) -> None:
    session = sessions.get("a")
    with session.turn("audio"), pytest.raises(TurnBusy), session.turn("audio"):
        pass
    with session.turn("audio"):
        pass


def test_a_removed_session_stops_its_turn_and_waits_for_it(tmp_path: Path) -> None:
    session = Session(tmp_path)
    ended = threading.Event()

    def turn() -> None:
        with session.turn("audio") as stop:
            started.set()
            stop.wait(5)
            time.sleep(0.1)
            ended.set()

    started = threading.Event()
    thread = threading.Thread(target=turn)
    thread.start()
    started.wait(5)
    session.remove()
    assert ended.is_set()
    thread.join()


def test_clear_removes_a_sessions_own_files_only(sessions: Sessions, tmp_path: Path) -> None:
    mine, hers = sessions.get("a"), sessions.get("b")
    kept, foreign = mine.keep(upload(sessions)), hers.keep(upload(sessions))
    outside = tmp_path / "outside.wav"
    outside.write_bytes(b"")
    mine.forget([kept, foreign, outside])
    assert not kept.exists()
    assert foreign.exists()
    assert outside.exists()


def test_a_page_may_ask_for_a_removed_file_a_little_longer(tmp_path: Path) -> None:
    session = Sessions(tmp_path / "root", lag_s=0.3).get("a")
    file = session.new_file("answer.wav")
    file.write_bytes(b"")
    session.forget([file])
    assert file.exists()
    deadline = time.monotonic() + 10
    while file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not file.exists()


def test_roots_of_killed_processes_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    dead = tmp_path / "omni-webui-999999999-abc"
    alive = tmp_path / f"omni-webui-{os.getpid()}-abc"
    for folder in (dead, alive):
        folder.mkdir()
    root = new_root()
    assert root.parent == tmp_path
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert not dead.exists()
    assert alive.exists()


def test_a_turn_is_over_when_it_was_ended(sessions: Sessions) -> None:
    session = sessions.get("a")
    over = threading.Event()

    def run(stop: threading.Event) -> None:
        stop.wait(10)
        time.sleep(0.1)  # the step that was under way
        over.set()

    def turn() -> None:
        with session.turn("audio") as stop:
            begun.set()
            run(stop)

    begun = threading.Event()
    threading.Thread(target=turn).start()
    begun.wait(10)
    session.end("video")
    assert not over.is_set()
    session.end("audio")
    assert over.is_set() and not session.running("audio")


def test_who_comes_late_leaves_nothing_behind(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, grace_s=0.0)
    session = sessions.get("browser")
    session.new_file("a.wav").write_bytes(b"x")
    sessions.leave("browser")
    sessions.sweep()
    with pytest.raises(FileNotFoundError):
        session.new_file("question.wav")
    assert not session.folder.exists()


def test_a_scripts_session_is_kept_as_long_as_is_said_and_a_pages_longer(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "root", script_idle_s=60)
    script, page, busy = (sessions.get(name) for name in ("script", "page", "busy"))
    page.page = True
    with busy.turn("api"):
        for session in (script, page, busy):
            session.last_seen -= 61
        sessions.sweep()
    assert (script.ended, page.ended, busy.ended) == (True, False, False)
    sessions.close()


def test_leaving_again_does_not_put_the_end_off(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "root", grace_s=0.3)
    session = sessions.get("gone")
    for _ in range(6):
        sessions.leave("gone")
        time.sleep(0.1)
    sessions.sweep()
    assert session.ended
    sessions.close()
