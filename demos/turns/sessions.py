"""A browser session's private things on the server: its folder and its running turns.

Knows: folders with unguessable names below one root, when they are removed, stop signals.
Does not know: Gradio components, the engine, what the files mean.

Two sessions never share a path: whatever a person gives is copied under a random name into the
folder of their own session, so that one session's end or Clear never touches another's files.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from demos.turns.kept_files import (
    Kept,
    changed_at,
    link_or_copy,
    remove_folders,
    remove_upload,
)
from demos.turns.room import Quota, bytes_in, check_room, check_session, told, whole_file
from omni.fair_queue import Asker

log = logging.getLogger(__name__)

GRACE_S = 60.0  # a lost connection may be a sleeping phone: wait so long before removing files
PAGE_LAG_S = 3.0  # a page asks for a file again while it redraws the chat that loses it
UPLOAD_LIFETIME_S = 3600.0  # uploads that were chosen but never sent, or never came to their end
CROWDED_LIFETIME_S = 120.0  # the same where all that may be kept is used up
SESSION_IDLE_S = 24 * 3600.0  # sessions of which nothing is heard
SCRIPT_IDLE_S = 1800.0  # ... of scripts, which may never say goodbye, where others reach the page
SWEEP_EVERY_S = 60.0
TURN_END_WAIT_S = 10.0
MAX_NAME = 80  # characters of a file name that are kept, from its end

_ROOT_PREFIX = "omni-webui-"
_STRANGE = re.compile(r"[^\w.\- ]")


class TurnBusy(RuntimeError):
    """A turn of this tab is still running in this session. ``by``: what runs it."""

    def __init__(self, tab: str, by: str = "turn") -> None:
        super().__init__(tab)
        self.by = by


class SessionOver(FileNotFoundError):
    """The session has ended, and its folder is gone."""


class Session:
    """One browser session: its folder (made when first needed) and the turns that are running."""

    def __init__(
        self,
        root: Path,
        lag_s: float = 0.0,
        quota: Quota | None = None,
        everybody: Path | None = None,
    ) -> None:
        """Args:
        root: the folder of all sessions.
        quota: how much this one may keep, and all together.
        everybody: the folder of all that is kept for anyone; None: ``root``.
        """
        self._lag_s = lag_s
        self._everybody = everybody or root
        self._quota = quota or Quota()
        self.folder = root / secrets.token_urlsafe(16)
        self.ended = False
        self.address: str | None = None  # where its person comes from, if that tells people apart
        self.last_seen = time.monotonic()
        self.page = False  # whether a page shows it, which says when it goes
        self._lock = threading.Lock()
        self._kept: dict[Path, Kept] = {}
        self._turns: dict[str, threading.Event] = {}
        self._runs: dict[str, str] = {}  # what runs, or ran last, by tab
        self._last: dict[str, Callable[[], None]] = {}

    def key(self, tab: str) -> str:
        """The name of what is kept elsewhere for the chat of ``tab``; nobody can guess it."""
        return f"{self.folder.name}-{tab}"

    @property
    def asker(self) -> Asker:
        """Who stands in the line for it."""
        return Asker(self.folder.name, self.address)

    def at_end(self, key: str, do: Callable[[], None]) -> None:
        """Have ``do`` called when the session has ended, once for each ``key``."""
        self._last[key] = do

    def new_file(self, name: str, size: int = 0) -> Path:
        """A path for a new file called ``name``, alone in a folder whose name is random.

        Args:
            size: bytes that it will have, as far as they are known.

        Raises:
            SessionOver: the session has ended; what was written now would never be removed.
            ResourceError: ``session-full``, ``sessions-full``, ``storage-full``,
                ``storage-unusable``.
        """
        if self.ended:
            raise SessionOver(name)
        check_room(self.folder, self._everybody, self._quota, size)
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            place = self.folder / secrets.token_urlsafe(8)
            place.mkdir(mode=0o700)
        except OSError as error:
            raise told(error) from error
        return place / (_STRANGE.sub("_", name)[-MAX_NAME:].lstrip(". ") or "file")

    @contextmanager
    def writing(self, name: str, size: int = 0) -> Iterator[Path]:
        """:meth:`new_file`; nothing of the file stays when it cannot be written to its end."""
        with whole_file(self.new_file(name, size)) as path:
            yield path

    def keep(self, upload: Path, check: Callable[[Path], None] | None = None) -> Path:
        """Copy an uploaded file into the folder, under its own name, and return the copy.

        The same upload is copied once (a voice prompt goes with every turn).

        Args:
            check: looks at an upload before it is copied, and raises what is wrong with it.

        Raises:
            FileNotFoundError: the upload is gone.
            ResourceError: as of :meth:`new_file`.
        """
        with self._lock:
            known = self._kept.get(upload)
            changed = upload.stat().st_mtime_ns if known is None else changed_at(upload, known)
            if known is not None and known.changed == changed and known.copy.exists():
                return known.copy
            size = upload.stat().st_size
            if check is not None:
                check(upload)
            if self._everybody in upload.parents:  # it is counted there already
                check_session(self.folder, self._quota, size)
                size = 0
            with self.writing(upload.name, size) as copy:
                link_or_copy(upload, copy)
            self._kept[upload] = Kept(copy, changed)
        return copy

    @contextmanager
    def turn(self, tab: str, by: str = "turn") -> Iterator[threading.Event]:
        """The stop signal of a new turn in ``tab``, for as long as the turn runs.

        Args:
            by: what runs it: who comes meanwhile is told so (the word is <by>-busy).

        Raises:
            TurnBusy: another turn of the tab is running.
        """
        stop = threading.Event()
        with self._lock:
            if tab in self._turns:
                raise TurnBusy(tab, self._runs[tab])
            self._turns[tab], self._runs[tab] = stop, by
        if self.ended:
            stop.set()
        try:
            yield stop
        finally:
            with self._lock:
                del self._turns[tab]

    def idle(self, now: float, script_s: float) -> bool:
        """Whether nothing was heard of it for so long that nobody will come back to it.

        ``script_s``: how long that is where no page shows it.
        """
        limit = SESSION_IDLE_S if self.page else script_s
        return not self._turns and now - self.last_seen > limit

    def running(self, tab: str | None) -> bool:
        """Whether a turn of ``tab`` (None: of any) runs."""
        return bool(self._turns) if tab is None else tab in self._turns

    def runs(self, tab: str) -> str | None:
        """What runs a turn of ``tab`` now; None: nothing does."""
        with self._lock:
            return self._runs[tab] if tab in self._turns else None

    def busy_word(self, tab: str) -> str:
        """The key of what somebody hears who comes while a turn of ``tab`` runs."""
        return f"{self.runs(tab) or 'turn'}-busy"

    def stop(self, tab: str | None = None) -> None:
        """Tell the running turn of ``tab`` (None: of every tab) to end."""
        with self._lock:
            for name, stop in self._turns.items():
                if tab in (None, name):
                    stop.set()

    def end(self, tab: str | None = None) -> None:
        """Tell the turn of ``tab`` (None: all) to end, and wait TURN_END_WAIT_S at most."""
        self.stop(tab)
        deadline = time.monotonic() + TURN_END_WAIT_S
        while self.running(tab) and time.monotonic() < deadline:
            time.sleep(0.02)

    def forget(self, files: list[Path]) -> None:
        """Remove files of this session's folder, once the page no longer shows them."""
        folders = [file.parent for file in files if file.parent.parent == self.folder]
        if not self._lag_s:
            remove_folders(folders)
        elif folders:
            timer = threading.Timer(self._lag_s, remove_folders, [folders])
            timer.daemon = True  # the whole root goes when the process ends
            timer.start()

    def remove(self) -> None:
        """Stop what runs, remove the folder and the uploads that came from this session."""
        self.ended = True
        self.end()
        for do in self._last.values():
            do()
        shutil.rmtree(self.folder, ignore_errors=True)
        for upload, kept in self._kept.items():
            remove_upload(upload, kept.changed)


class Sessions:
    """All live sessions of this process, below one root folder.

    Gradio puts uploads there too, so that everything a person ever gave goes with the process.
    """

    def __init__(
        self,
        root: Path,
        grace_s: float = GRACE_S,
        lag_s: float = 0.0,
        quota: Quota | None = None,
        script_idle_s: float = SESSION_IDLE_S,
    ) -> None:
        """Args:
        root: the private folder of this process.
        grace_s: how long a session without a connection is kept.
        script_idle_s: how long a script's session is kept of which nothing is heard.
        lag_s: how long files that were removed from a chat may still be asked for by its page.
        quota: how much may be kept; None: as on one's own machine.
        """
        self.root = root
        self.quota = quota or Quota()
        # The address behind a request, where addresses tell people apart.
        self.address_of: Callable[[Any], str | None] = lambda request: None
        self._folders = root / "sessions"
        self._grace_s = grace_s
        self._lag_s = lag_s
        self._script_idle_s = script_idle_s
        self._lock = threading.Lock()
        self._live: dict[str, Session] = {}
        self._leaving: dict[str, float] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._sweep_for_ever, name="session-sweeper", daemon=True).start()

    def get(self, key: str | None) -> Session:
        """The session of a browser tab (Gradio's session hash); a new one at first sight.

        ``None`` (a script that keeps no session) gives a session of its own, every time.
        """
        name = key or secrets.token_urlsafe(16)
        with self._lock:
            self._leaving.pop(name, None)
            session = self._live.get(name)
            if session is None:
                session = self._live[name] = Session(
                    self._folders, self._lag_s, self.quota, self.root
                )
            session.last_seen = time.monotonic()
            return session

    def of(self, request: Any) -> Session:
        """:meth:`get` for a request of Gradio's, whose address is noted."""
        session = self.get(request.session_hash)
        session.address = self.address_of(request)
        return session

    def leave(self, key: str | None) -> None:
        """The tab was closed or lost its connection: stop its turns, remove it after the grace."""
        if key is None or (session := self._live.get(key)) is None:
            return
        session.stop()
        with self._lock:
            self._leaving.setdefault(key, time.monotonic() + self._grace_s)

    def sweep(self) -> None:
        """Remove the sessions whose time is over and the uploads that nobody sent."""
        now = time.monotonic()
        with self._lock:
            over = [key for key, due in self._leaving.items() if due <= now]
            over += [
                key
                for key, session in self._live.items()
                if session.idle(now, self._script_idle_s) and key not in over
            ]
            sessions = [self._live.pop(key) for key in over if key in self._live]
            for key in over:
                self._leaving.pop(key, None)
        for session in sessions:
            session.remove()
        self._sweep_uploads()

    def _sweep_uploads(self) -> None:
        """Remove what lies beside the sessions and is old, or not quite new where no room is."""
        crowded = bytes_in(self.root) > self.quota.everybody
        oldest = time.time() - (CROWDED_LIFETIME_S if crowded else UPLOAD_LIFETIME_S)
        for upload in self._uploads():
            try:
                if upload.lstat().st_mtime < oldest:
                    remove_upload(upload)
            except FileNotFoundError:  # sent in the meantime
                continue
        for folder in self._upload_folders():
            with suppress(OSError):  # not empty
                if folder.stat().st_mtime < oldest:
                    folder.rmdir()

    def stop(self) -> None:
        """Tell everything that runs to end."""
        with self._lock:
            sessions = list(self._live.values())
        for session in sessions:
            session.stop()

    def close(self) -> None:
        """End every session and remove the root."""
        self._closed.set()
        with self._lock:
            sessions = list(self._live.values())
            self._live.clear()
        for session in sessions:
            session.ended = True
            session.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def _beside(self) -> Iterator[Path]:
        """Everything below the root that is in no session, folders after what they hold."""
        for place, folders, names in os.walk(self.root, topdown=False):
            inside = Path(place)
            if inside == self._folders or self._folders in inside.parents:
                continue
            yield from (inside / name for name in names)
            yield from (inside / name for name in folders if inside / name != self._folders)

    def _uploads(self) -> list[Path]:
        return [path for path in self._beside() if not path.is_dir() or path.is_symlink()]

    def _upload_folders(self) -> list[Path]:
        return [path for path in self._beside() if path.is_dir() and not path.is_symlink()]

    def _sweep_for_ever(self) -> None:
        while not self._closed.wait(min(SWEEP_EVERY_S, max(self._grace_s / 2, 0.1))):
            try:
                self.sweep()
            except OSError:
                log.warning("could not remove old session files", exc_info=True)


def script_idle_s(private: bool) -> float:
    """How long sessions of scripts are kept of which nothing is heard.

    Args:
        private: only people at this machine reach the page.
    """
    return SESSION_IDLE_S if private else SCRIPT_IDLE_S


def new_root(place: Path | None = None) -> Path:
    """A private folder for this process below ``place`` (None: the system's temporary folder).

    Folders that processes left behind which were killed are removed first.
    """
    place = place or Path(tempfile.gettempdir())
    for left in place.glob(f"{_ROOT_PREFIX}*"):
        process = left.name.removeprefix(_ROOT_PREFIX).split("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_ROOT_PREFIX}{psutil.Process().pid}-", dir=place))
