"""A chat on its way into the browser that keeps it, and back.

Knows: what the browser is told of a chat, what it asks for when it brings one. Does not know:
where the browser keeps it (assets/scripts/conversations), the zip's form (demos.turns.export).

After every change of a chat the browser gets its table and the places of its files, and fetches
those that it has not yet. It brings a chat back by the secret of its former session, if that has
not ended, else as the zip that an export is, which is looked at as any import is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from demos.base.browser_values import Changes
from demos.base.given import GivenError
from demos.conversations.shelf import Shelf
from demos.conversations.tools import warned
from demos.tabs.actions import Actions, still_there
from demos.tabs.imported import check_medium
from demos.tabs.video import is_audible
from demos.turns.chat import Thread
from demos.turns.export import described, most_bytes, read_conversation
from demos.turns.kept_files import remove_upload
from demos.turns.sessions import Session
from omni.errors import OmniError

LONGEST_ID, LONGEST_SECRET = 64, 128  # characters

THERE, SHOWN, ABSENT, FAILED = "there", "shown", "absent", "failed"


@dataclass(frozen=True)
class Wish:
    """What the browser asks for when it brings a conversation."""

    number: int  # of the wish, so that the browser knows the answer to it
    id: str  # of the conversation; "": an empty one
    secret: str = ""  # of the session that it was in; "": it comes as a zip alone
    # The page comes back: what stands there by now, or is being answered, is not to be disturbed.
    back: bool = False

    @classmethod
    def read(cls, text: str) -> Wish:
        """A wish as JSON.

        Raises:
            GivenError: ``event-unknown``.
        """
        try:
            given = json.loads(text)
            wish = cls(given["number"], given["id"], given.get("secret", ""), given["back"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _unknown() from error
        strings = isinstance(wish.id, str) and isinstance(wish.secret, str)
        plain = isinstance(wish.number, int) and isinstance(wish.back, bool)
        if not (strings and plain):
            raise _unknown()
        if len(wish.id) > LONGEST_ID or len(wish.secret) > LONGEST_SECRET:
            raise _unknown()
        return wish


def _unknown() -> GivenError:
    return GivenError("event-unknown", "The page does not know such an event: load it again.")


def keep_handler(
    actions: Actions, shelf: Shelf, told: gr.Textbox, transcript: gr.Textbox
) -> Callable[[gr.Request, Thread], Changes]:
    """Tells the browser what the chat holds now; the ``transcript`` of another one goes."""
    sessions, tab = actions.context.sessions, actions.tab.spec.name

    def keep(request: gr.Request, thread: Thread) -> Changes:
        session = sessions.of(request)
        another = shelf.shown(session, tab) != thread.id
        secret = shelf.put(session, tab, thread)
        changes: Changes = {told: json.dumps(described_to_browser(thread, secret))}
        return changes | ({transcript: gr.update(value="", visible=False)} if another else {})

    return keep


def described_to_browser(thread: Thread, secret: str) -> dict[str, Any]:
    """What the browser keeps of ``thread``: its table, and where the files of the table are."""
    table, names = described(thread)
    files = [
        {"name": name, "path": str(file), "size": file.stat().st_size}
        for file, name in names.items()
        if file.exists()
    ]
    return {
        "id": thread.id,
        "secret": secret,
        "table": table,
        "files": files,
        "whole": len(files) == len(names),
        "most": most_bytes(),
    }


def bring_handler(
    actions: Actions, shelf: Shelf, answer: gr.Textbox
) -> Callable[[gr.Request, str | None, str, Thread], Changes]:
    """Shows a conversation that the browser has kept; ``answer`` says what came of the wish."""
    context, tab = actions.context, actions.tab.spec.name

    def bring(request: gr.Request, upload: str | None, wish: str, thread: Thread) -> Changes:
        wanted, session = Wish.read(wish), context.sessions.of(request)
        zipped = Path(upload) if upload else None

        def answered(state: str, changes: Changes | None = None) -> Changes:
            return {
                **(changes or {}),
                answer: json.dumps({"number": wanted.number, "state": state}),
            }

        try:
            if wanted.back and _occupied(session, tab, thread):
                return answered(THERE)
            if not wanted.back:
                session.end(tab)
            now = _brought(session, wanted, zipped)
        except (OmniError, OSError) as error:
            warned(context, request, error)
            return answered(FAILED)
        finally:
            if zipped is not None and session.folder not in zipped.parents:
                remove_upload(zipped)
        if now is None:
            return answered(ABSENT)
        return answered(SHOWN, actions.show(request, thread, replace(now, id=wanted.id)))

    def _brought(session: Session, wanted: Wish, zipped: Path | None) -> Thread | None:
        if not wanted.id:
            return Thread()
        now = shelf.take(session, tab, wanted.secret) if wanted.secret else None
        if now is None and zipped is not None:
            now = read_conversation(zipped, session.new_file, is_audible, check_medium)
        return now

    return bring


def _occupied(session: Session, tab: str, thread: Thread) -> bool:
    """Whether the chat of a page that comes back needs nothing brought."""
    _, lost = still_there(thread)
    return session.running(tab) or (bool(thread.entries) and not lost)
