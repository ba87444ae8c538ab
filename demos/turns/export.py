"""A conversation as a file: a zip of conversation.json and the media, out and in again; one
message as a file of its own.

Knows: the zip's form, its limits, how a bad one is told. Does not know: Gradio, sessions, how a
zip is kept within bounds (demos.turns.unpacking).

conversation.json: ``{"format": FORMAT, "version": 1, "messages": [...]}``; a message has ``role``,
``parts`` (``{"type": "text", "text": ...}`` or ``{"type": "image" | "audio" | "video", "file":
...}``), and where there is one ``sound`` (the whole spoken answer, a file), ``note``, ``task``
(what was asked for, if not an answer), ``heard`` (what the model understood of a spoken question)
and ``forgotten`` (the model does not get it). What the
model generated is kept as text and sound; its token ids and codes are another checkpoint's affair.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeAlias

from demos.base.given import whole_text
from demos.turns.chat import TASKS, Entry, Thread
from demos.turns.unpacking import BoundedZip, TooLarge, ZipBounds, open_zip
from omni.conversation import Audio, Image, Message, Part, Speech, Text, Video
from omni.errors import ConversationError, OmniError
from omni.media.limits import limits

FORMAT = "omni-conversation"
VERSION = 1
TABLE = "conversation.json"
MEDIA = "media"
MESSAGE = "message"  # the name of a file with one
MAX_MESSAGES = 1000
MAX_FILES = 500
MAX_TABLE_BYTES = 10_000_000
MAX_BYTES = 1_000_000_000  # unpacked; fewer where the limits of media say so
_MORE_NAMES = 50  # in a zip that was packed again: folders, and what a desktop leaves in them

_NUMBER = re.compile(r"^\d{3,}-(?=.)")  # before each name in a zip, so that none comes twice

_KINDS: dict[str, type[Image] | type[Audio] | type[Video]] = {
    "image": Image,
    "audio": Audio,
    "video": Video,
}
NewFile: TypeAlias = Callable[[str], Path]  # a file name -> where to put it
Hears: TypeAlias = Callable[[Path], bool]  # whether there is anything to hear in a sound file
Check: TypeAlias = Callable[[Part], None]  # refuses a medium that cannot be what it says


def write_conversation(thread: Thread, path: Path) -> None:
    """Write ``thread`` to ``path``. Media are stored once, under numbered names."""
    table, names = described(thread)
    with zipfile.ZipFile(path, "w") as archive:
        text = json.dumps(table, ensure_ascii=False, indent=1)
        archive.writestr(TABLE, text, zipfile.ZIP_DEFLATED)
        for file, name in names.items():
            archive.write(file, name, zipfile.ZIP_STORED)  # media are compressed already


def described(thread: Thread) -> tuple[dict[str, Any], dict[Path, str]]:
    """What conversation.json says of ``thread``, and the name in the zip of each file."""
    names: dict[Path, str] = {}
    told = Thread(tuple(entry for entry in thread.entries if not entry.failed))
    for file in told.files():
        names.setdefault(file, f"{MEDIA}/{len(names) + 1:03d}-{file.name}")
    messages = [_described(entry, names) for entry in told.entries]
    return {"format": FORMAT, "version": VERSION, "messages": messages}, names


def most_bytes() -> int:
    """How many bytes of a conversation can be read again."""
    return min(MAX_BYTES, limits().file_bytes)


def _described(entry: Entry, names: dict[Path, str]) -> dict[str, Any]:
    parts: list[dict[str, str]] = []
    for part in entry.message.parts:
        if isinstance(part, Text):
            parts.append({"type": "text", "text": part.text})
        elif not isinstance(part, Speech):
            kind = next(kind for kind, form in _KINDS.items() if isinstance(part, form))
            parts.append({"type": kind, "file": names[part.path]})
    message: dict[str, Any] = {"role": entry.message.role, "parts": parts}
    if entry.sound is not None:
        message["sound"] = names[entry.sound]
    if entry.note:
        message["note"] = entry.note
    if entry.task != "chat":
        message["task"] = entry.task
    if entry.heard:
        message["heard"] = entry.heard
    if entry.forgotten:
        message["forgotten"] = True
    return message


def write_message(entries: Sequence[Entry], new_file: NewFile) -> Path | None:
    """One message as a file: its text, its only medium, or a zip of all that it consists of.

    None: it consists of nothing. The file is a new one (``new_file``).
    """
    text = "\n\n".join(entry.text.strip() for entry in entries if entry.text.strip())
    files = list(dict.fromkeys(chain(*(_files(entry) for entry in entries))))
    if not files and not text:
        return None
    if not files:
        path = new_file(f"{MESSAGE}.txt")
        path.write_text(text + "\n", encoding="utf-8")
        return path
    if len(files) == 1 and not text:
        path = new_file(files[0].name)
        shutil.copyfile(files[0], path)
        return path
    path = new_file(f"{MESSAGE}.zip")
    with zipfile.ZipFile(path, "w") as archive:
        if text:
            archive.writestr(f"{MESSAGE}.txt", text + "\n", zipfile.ZIP_DEFLATED)
        for number, file in enumerate(files, 1):
            taken = any(file.name == other.name for other in files[: number - 1])
            archive.write(file, f"{number}-{file.name}" if taken else file.name)
    return path


def _files(entry: Entry) -> list[Path]:
    return entry.media + ([entry.sound] if entry.sound else [])


def read_conversation(path: Path, new_file: NewFile, hears: Hears, check: Check) -> Thread:
    """The conversation in the zip ``path``; its media go to files of ``new_file``.

    Just files that the table names are unpacked, never to a place that the zip chooses, and no
    more of them than the bounds allow.

    Raises:
        ConversationError: ``import-broken`` (no zip, or its contents are wrong),
            ``import-version`` or ``import-large``.
        OmniError: of ``check``, or of ``new_file``.
        OSError: a file cannot be written. Whatever is raised, files made so far are removed.
    """
    made: list[Path] = []

    def place(name: str) -> Path:
        made.append(new_file(name))
        return made[-1]

    try:
        with open_zip(path, _bounds()) as archive:
            return _Reader(archive, place, hears, check).thread()
    except TooLarge as error:
        _remove(made)
        raise _too_large() from error
    except (OmniError, OSError):
        _remove(made)
        raise
    except _WRONG as error:
        _remove(made)
        raise ConversationError(
            "import-broken",
            "{name} is not a conversation that was exported here, or it is damaged.",
            name=path.name,
        ) from error


def _bounds() -> ZipBounds:
    most = most_bytes()
    files = MAX_FILES + 1 + _MORE_NAMES
    return ZipBounds(files, most, bytes_each=most, seconds=limits().decode_s)


# What a zip file or a table of the wrong form leads to.
_WRONG = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    NotImplementedError,  # an unknown compression
    RuntimeError,  # encrypted
    RecursionError,
)


def _remove(files: list[Path]) -> None:
    for file in files:
        shutil.rmtree(file.parent, ignore_errors=True)


@dataclass
class _Reader:
    """Reads one zip."""

    archive: BoundedZip
    new_file: NewFile
    hears: Hears
    check: Check

    def __post_init__(self) -> None:
        self._read: dict[str, Path] = {}

    def thread(self) -> Thread:
        table = self._table()
        messages = table["messages"]
        if not isinstance(messages, list) or len(messages) > MAX_MESSAGES:
            raise _too_large()
        entries = tuple(self._entry(message) for message in messages)
        roles = [entry.message.role for entry in entries]
        if roles and roles[0] != "user":
            raise ValueError("an answer without a question")
        return Thread(entries)

    def _table(self) -> dict[str, Any]:
        data = self.archive.read(TABLE, MAX_TABLE_BYTES)
        table = json.loads(data.decode("utf-8-sig"))
        if table["format"] != FORMAT:
            raise ValueError("another format")
        if table["version"] != VERSION:
            raise ConversationError(
                "import-version",
                "This conversation was exported by a newer version of the program: update it.",
            )
        return table

    def _entry(self, message: dict[str, Any]) -> Entry:
        role: Literal["user", "assistant"] = message["role"]
        if role not in ("user", "assistant"):
            raise ValueError("unknown role")
        parts = [self._part(part) for part in message["parts"]]
        sound = self._file(message["sound"]) if "sound" in message else None
        if role == "user" and sound is not None:
            raise ValueError("a question with a spoken answer")
        if role == "assistant" and not all(isinstance(part, Text) for part in parts):
            raise ValueError("an answer with media")
        if sound is not None and self.hears(sound):
            parts.append(Speech(path=sound))
        note = message.get("note", "")
        task, spoken = message.get("task", "chat"), sound is not None
        if task not in TASKS:
            raise ValueError("unknown task")
        return Entry(
            Message(role, tuple(parts), spoken),
            sound,
            _string(note),
            failed=not parts,
            forgotten=message.get("forgotten", False) is True,
            task=task,
            heard=_string(message.get("heard", "")),
        )

    def _part(self, part: dict[str, Any]) -> Part:
        if part["type"] == "text":
            return Text(_string(part["text"]))
        medium = _KINDS[part["type"]](self._file(part["file"]))
        self.check(medium)
        return medium

    def _file(self, name: Any) -> Path:
        """The file ``name`` of the zip, unpacked within the limits."""
        name = _string(name)
        if name in self._read:
            return self._read[name]
        if len(self._read) == MAX_FILES:
            raise _too_large()
        path = self.new_file(_NUMBER.sub("", PurePosixPath(name).name))
        self.archive.extract(name, path)
        self._read[name] = path
        return path


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return whole_text(value)


def _too_large() -> ConversationError:
    return ConversationError(
        "import-large",
        "This conversation is too large to import: at most {messages} messages, {files} files and "
        "{megabytes} MB.",
        messages=MAX_MESSAGES,
        files=MAX_FILES,
        megabytes=_bounds().bytes_in_all // 10**6,
    )
