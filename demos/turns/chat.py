"""A tab's chat: what was said, for the model and for the eyes.

Knows: entries of a thread, how they become a conversation and Gradio's chat messages.
Does not know: how answers are made, components, sessions.
"""

from __future__ import annotations

import mimetypes
import re
import secrets
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from omni.conversation import (
    Audio,
    Conversation,
    Image,
    Message,
    Part,
    PromptLanguage,
    Speech,
    SystemPrompt,
    Text,
    Video,
)

Bubble: TypeAlias = dict[str, Any]
# chat: answer in the conversation; transcribe: write down the first sound among the parts; read:
# speak the last text among them. The last two are done without the conversation.
Task: TypeAlias = Literal["chat", "transcribe", "read"]
TASKS: tuple[Task, ...] = get_args(Task)

_CODE = re.compile(r"((?<!`)`[^`\n]+`(?!`))")
# From the first column on, to its end or that of the text. Where other ways to write code, formulas
# or targets of links stand before, which of them begins first is not known here.
_FENCED = re.compile(r"(^```[^`\n]*\n(?:.*?^ {0,3}```[`~]*[ \t]*$|.*\Z))", re.DOTALL | re.MULTILINE)
_RIVALS = re.compile(r"```|~~~|\$\$|\\[(\[]|\]:")
_DIAGRAM = re.compile(r"\A```[^\n]*mermaid[^\n]*", re.IGNORECASE)  # may name pictures, is drawn
# What Markdown would take for markup in what a person typed: some characters anywhere, others
# where a line begins. Little is escaped, because a person who edits a message sees the escapes.
_ANYWHERE = re.compile(r"[\\`*_\[\]|~]")
_LINE_START = re.compile(r"^(\s*)([#+\-=>]|\d+(?=[.)]))", re.MULTILINE)
_ENTITY = re.compile(r"&(?=#?\w+;)")
_ESCAPED = re.compile(r"\\([\\`*_\[\]|~#+\-=>.)])")


@dataclass(frozen=True)
class Entry:
    """One bubble of the chat.

    ``sound``: the whole spoken answer as a file. ``note``: a sentence below it (an error, "you
    stopped this answer"). ``failed`` entries are shown but the model does not get them, nor
    ``forgotten`` ones, for which the context had no room any more, nor a text that was read aloud,
    and its sound. ``task``: what was asked for.
    ``heard``: what the model understood of a spoken question, by its own word; the model does not
    get it (it has the sound).
    """

    message: Message
    sound: Path | None = None
    note: str = ""
    failed: bool = False
    forgotten: bool = False
    task: Task = "chat"
    heard: str = ""

    @property
    def known(self) -> bool:
        """Whether the model gets it."""
        return not (self.failed or self.forgotten or self.task == "read")

    @property
    def text(self) -> str:
        """What was typed, or said in words."""
        return "".join(part.text for part in self.message.parts if isinstance(part, Text))

    @property
    def media(self) -> list[Path]:
        """The media files of the message, each once (a clip is seen and heard)."""
        parts = self.message.parts
        paths = [part.path for part in parts if isinstance(part, (Image, Audio, Video))]
        return list(dict.fromkeys(paths))


@dataclass(frozen=True)
class Thread:
    """The chat of one tab in one browser session.

    ``id``: which conversation it is; it has one from its first entry on, and keeps it.
    """

    entries: tuple[Entry, ...] = field(default=())
    id: str = field(default="", compare=False)

    def plus(self, *entries: Entry) -> Thread:
        """The thread with ``entries`` appended."""
        name = self.id or secrets.token_urlsafe(9)
        return replace(self, entries=self.entries + entries, id=name)

    def conversation(self, system: SystemPrompt, language: PromptLanguage) -> Conversation:
        """What the model gets (:attr:`Entry.known`)."""
        messages = tuple(entry.message for entry in self.entries if entry.known)
        return Conversation(system, messages, language)

    def before(self, index: int) -> Thread:
        """The thread up to the entry ``index``, which goes too."""
        return replace(self, entries=self.entries[:index])

    def rows(self) -> list[list[Entry]]:
        """The entries as the chat shows them: those of the same role in a row stand in one."""
        return [list(group) for _, group in groupby(self.entries, lambda entry: entry.message.role)]

    def without_row(self, row: int) -> Thread:
        """The thread without the exchange that ``row`` belongs to: question and answer."""
        rows = self.rows()
        if not 0 <= row < len(rows):
            return self
        first = row - (rows[row][0].message.role == "assistant" and row > 0)
        last = first + 1 + (rows[first][0].message.role == "user")
        return replace(self, entries=tuple(chain(*rows[:first], *rows[last:])))

    def forget(self, messages: int) -> Thread:
        """The thread without its first ``messages`` messages for the model; they stay shown."""
        entries, left = list(self.entries), messages
        for index, entry in enumerate(entries):
            if left == 0:
                break
            left -= entry.known
            entries[index] = replace(entry, forgotten=True)
        return replace(self, entries=tuple(entries))

    def hear(self, sound: Path, heard: str, note: str) -> Thread:
        """The thread with what the model ``heard`` in the last question of that sound, and the
        sentence that says so.
        """
        entries = list(self.entries)
        for index in reversed(range(len(entries))):
            entry = entries[index]
            if sound in entry.media and entry.message.role == "user" and not entry.heard:
                told = f"{entry.note} {note}".strip()
                entries[index] = replace(entry, heard=heard, note=told)
                break
        return replace(self, entries=tuple(entries))

    def files(self) -> list[Path]:
        """Every file that the thread shows."""
        found = [entry.sound for entry in self.entries if entry.sound]
        found += [path for entry in self.entries for path in entry.media]
        return found

    def bubbles(self) -> list[Bubble]:
        """The thread as Gradio's chat messages."""
        return [bubble(entry) for entry in self.entries]


def bubble(entry: Entry) -> Bubble:
    """One entry as a Gradio chat message: media first, then the text, then the note."""
    user = entry.message.role == "user"
    content: list[str | dict[str, Any]] = []
    shown = [entry.sound] if entry.sound else []
    shown += entry.media if user else []
    text = entry.text
    if user:
        content += [_file(path) for path in shown]
    if text.strip():
        content.append(as_typed(text) if user else as_markdown(text))
    if not user:
        content += [_file(path) for path in shown]
    if entry.note:
        content.append(f"*{as_typed(entry.note)}*")
    return {"role": entry.message.role, "content": content or [" "]}


def _file(path: Path) -> dict[str, Any]:
    """A media file; the kind of player follows the type, downloads get the name."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return {"file": {"path": str(path), "orig_name": path.name, "mime_type": kind}}


def as_typed(text: str) -> str:
    """Text that a person typed, shown letter by letter: no markup."""
    safe = _ENTITY.sub("&amp;", text).replace("<", "&lt;")
    return _LINE_START.sub(_escape_start, _ANYWHERE.sub(r"\\\g<0>", safe))


def retyped(shown: str) -> str:
    """What a person typed, from :func:`as_typed` of it (which they may have edited)."""
    return _ESCAPED.sub(r"\1", shown).replace("&lt;", "<").replace("&amp;", "&")


def _escape_start(match: re.Match[str]) -> str:
    space, mark = match.groups()
    return f"{space}{mark}\\" if mark.isdigit() else f"{space}\\{mark}"


def as_markdown(text: str) -> str:
    """Generated or imported text: lists and emphasis are shown, but nothing is fetched and no HTML
    is run.

    Code is left as it is, but only where every reader of Markdown takes it for code: else a picture
    of another host could stand in what looks like code here and is none on the page.
    """
    shown, sure = [], True
    for block in _FENCED.split(text):
        fenced = _FENCED.fullmatch(block) is not None
        sure = sure and (fenced or not _RIVALS.search(block))
        if not sure:
            shown.append(_safe(block))
        elif fenced:
            shown.append(_DIAGRAM.sub("```text", block))
        else:
            shown.append(_but_code_safe(block))
    return "".join(shown)


def _but_code_safe(block: str) -> str:
    """Text made safe, but for code within a line."""
    shown, sure = [], True
    for line in block.splitlines(keepends=True):
        pieces = _CODE.split(line)
        outside = "".join(pieces[::2])
        sure = sure and "`" not in outside  # one that is left open reaches into later lines
        keep = sure and "\\" not in outside and "|" not in line  # a table's cells come before code
        shown += [
            piece if keep and place % 2 else _safe(piece) for place, piece in enumerate(pieces)
        ]
    return "".join(shown)


def _safe(text: str) -> str:
    return _no_html(text).replace("![", r"!\[")


def _no_html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def spoken(parts: tuple[Part, ...]) -> bool:
    """Whether an answer contains speech."""
    return any(isinstance(part, Speech) for part in parts)
