"""Chats for pages that come back soon: after a reload their session is another one.

Knows: which session's chats a secret opens, how one moves into another session.
Does not know: how long sessions last (demos.turns.sessions), browsers, Gradio.

Nothing is held longer than its session. A page learns its own secret alone, which stands in no
address, as the names of a session's files do.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from weakref import WeakKeyDictionary

from demos.turns.chat import Entry, Thread
from demos.turns.kept_files import link_or_copy, remove_folders
from demos.turns.sessions import Session
from omni.conversation import Audio, Image, Part, Speech, Video

SECRET_BYTES = 24


@dataclass
class _Held:
    """What is known of one session."""

    secret: str = field(default_factory=lambda: secrets.token_urlsafe(SECRET_BYTES))
    chats: dict[str, Thread] = field(default_factory=dict)  # by tab


class Shelf:
    """The newest chats of every session, by its secret. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: WeakKeyDictionary[Session, _Held] = WeakKeyDictionary()

    def put(self, session: Session, tab: str, thread: Thread) -> str:
        """Note what the chat of ``tab`` holds now; the secret under which its page finds it."""
        with self._lock:
            held = self._held.setdefault(session, _Held())
            held.chats[tab] = thread
            return held.secret

    def shown(self, session: Session, tab: str) -> str:
        """The id of the conversation that the chat of ``tab`` held last; "": none."""
        with self._lock:
            held = self._held.get(session)
            return held.chats[tab].id if held and tab in held.chats else ""

    def take(self, session: Session, tab: str, secret: str) -> Thread | None:
        """The chat that ``secret`` opens, for ``session``, which has its own names for the files.

        None: there is none, or its session has ended, or its files are gone.

        Raises:
            ResourceError: of :meth:`demos.turns.sessions.Session.new_file`.
        """
        found = self._found(secret)
        if found is None:
            return None
        former, thread = found[0], found[1].get(tab, Thread())
        if former.ended or not thread.entries or not all(map(Path.exists, thread.files())):
            return None
        if former is session:
            return thread
        try:
            return moved(thread, session)
        except FileNotFoundError:  # its session ended meanwhile
            return None

    def _found(self, secret: str) -> tuple[Session, dict[str, Thread]] | None:
        with self._lock:
            for session, held in self._held.items():
                if secrets.compare_digest(held.secret.encode(), secret.encode()):
                    return session, dict(held.chats)
        return None


def moved(thread: Thread, session: Session) -> Thread:
    """``thread`` with files of ``session`` in the place of its own; they take no room again.

    Raises:
        FileNotFoundError: a file, or the session, is gone; nothing of the others stays then.
        ResourceError: of :meth:`demos.turns.sessions.Session.new_file`.
    """
    places: dict[Path, Path] = {}
    try:
        for file in dict.fromkeys(thread.files()):
            with session.writing(file.name) as copy:
                link_or_copy(file, copy)
            places[file] = copy
    except BaseException:
        remove_folders([copy.parent for copy in places.values()])
        raise
    return replace(thread, entries=tuple(_placed(entry, places) for entry in thread.entries))


def _placed(entry: Entry, places: dict[Path, Path]) -> Entry:
    parts = tuple(_part(part, places) for part in entry.message.parts)
    sound = places[entry.sound] if entry.sound else None
    return replace(entry, message=replace(entry.message, parts=parts), sound=sound)


def _part(part: Part, places: dict[Path, Path]) -> Part:
    if isinstance(part, (Image, Audio, Video, Speech)) and part.path in places:
        return replace(part, path=places[part.path])
    return part
