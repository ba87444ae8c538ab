"""A data file to its rows: conversations whose answers are learnt, and what cannot be used.

Knows: lines, arrays, encodings; that every row is either read or told of with its line.
Does not know: the forms of a row (:mod:`finetune.lora.data.formats`), the model.
"""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from finetune.lora.data.conversations import conversation
from finetune.lora.data.formats import Form, record
from finetune.lora.data.forms import check_form
from finetune.lora.data.places import inline_folder
from finetune.lora.data.refused import DataError, RefusedError
from finetune.lora.data.sources import Sources
from omni.conversation import Conversation

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BLANK = b" \t\r\n"


@dataclass(frozen=True)
class Row:
    """One row that can be learnt from."""

    line: int  # of the file, from 1
    # The assistant's messages are what is learnt; a spoken one has Speech parts with the path of
    # the sound, each behind the text that it says.
    conversation: Conversation
    name: str  # "data.jsonl:12", for messages
    # Numbers of the assistant's messages in the conversation that are context alone ("loss": false)
    silent: frozenset[int] = frozenset()
    form: Form = "conversation"  # how its prompt is written

    @property
    def speech(self) -> bool:
        """Whether an answer is spoken; the prompt then has the voice prompt."""
        return any(message.spoken for message in self.conversation.messages)


@dataclass(frozen=True)
class BadRow:
    """One row that cannot be used."""

    line: int  # of the file, from 1
    name: str  # "data.jsonl:12", for messages
    reason: str  # a sentence

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class Rows:
    """What a data file holds: every row is in one of the two."""

    path: Path
    rows: tuple[Row, ...]
    bad: tuple[BadRow, ...]
    # Keys that no row is read by (a "tools", a "rejected_response"), and how many rows have them
    ignored: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Unreadable:
    """A line that is no JSON."""

    reason: str


def read_rows(path: Path | str, inline: Path | None = None) -> Rows:
    """The rows of a file of JSON lines, or of one JSON array.

    Files are looked for from the data file's folder, and must exist; nothing is decoded.

    Args:
        inline: where content goes that stands in the rows themselves; None: with the cache.

    Raises:
        DataError: there is no such file, or nothing in it.
    """
    path = Path(path)
    sources = Sources(path.parent, inline or inline_folder())
    rows: list[Row] = []
    bad: list[BadRow] = []
    ignored: Counter[str] = Counter()
    for line, value in _values(path, _content(path)):
        name = f"{path.name}:{line}"
        if isinstance(value, _Unreadable):
            bad.append(BadRow(line, name, value.reason))
            continue
        try:
            known = record(value)
            said, silent = conversation(known, sources)
            check_form(known.form, said)
        except RefusedError as error:
            bad.append(BadRow(line, name, str(error)))
        else:
            rows.append(Row(line, said, name, silent, known.form))
            ignored.update(known.ignored)
    if not rows and not bad:
        raise DataError("data-empty", "{name} has no rows: write some.", name=path.name)
    return Rows(path, tuple(rows), tuple(bad), dict(ignored))


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError("data-missing", "{path} was not found.", path=path) from None
    except OSError as error:
        sentence = "{path} cannot be read ({reason})."
        raise DataError("data-unreadable", sentence, path=path, reason=error.strerror) from error
    if content.startswith(_UTF16):
        raise DataError(
            "data-utf16", "{name} is written in UTF-16: save it as UTF-8.", name=path.name
        )
    return content.removeprefix(codecs.BOM_UTF8)


def _values(path: Path, content: bytes) -> Iterator[tuple[int, object]]:
    """Each row's line and its JSON value."""
    start = content.lstrip(_BLANK)[:1]
    if start == b"[":
        yield from _array(content)
    elif start == b"{" and path.suffix.lower() == ".json" and (whole := _whole(content)):
        yield 1 + content[: content.index(b"{")].count(b"\n"), whole
    else:
        yield from _lines(content)


def _whole(content: bytes) -> object:
    """One object over several lines; None: it is not one."""
    try:
        return json.loads(content)
    except ValueError:
        return None


def _lines(content: bytes) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip(_BLANK):
            continue
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            yield number, _Unreadable(_not_utf8(error))
            continue
        try:
            yield number, json.loads(text)
        except json.JSONDecodeError as error:
            yield number, _Unreadable(f"It is no JSON (character {error.colno}: {error.msg}).")
        except RecursionError:
            yield number, _Unreadable("It is no JSON that can be read: it is nested too deeply.")


def _array(content: bytes) -> Iterator[tuple[int, object]]:
    """The elements of a JSON array with the lines on which they begin."""
    line, place = 1, 0
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        yield content[: error.start].count(b"\n") + 1, _Unreadable(_not_utf8(error))
        return
    decoder = json.JSONDecoder()
    seen = 0  # characters whose lines are counted
    place = text.index("[") + 1
    while True:
        place = _next(text, place)
        line, seen = line + text.count("\n", seen, place), place
        if text[place : place + 1] == "]":
            if text[place + 1 :].strip():
                yield line, _Unreadable("Something stands behind the end of the array.")
            return
        try:
            value, end = decoder.raw_decode(text, place)
        except (json.JSONDecodeError, RecursionError) as error:
            said = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
            reason = f"It is no JSON ({said}), so this row and those behind it cannot be read."
            yield line, _Unreadable(reason)
            return
        yield line, value
        place = _next(text, end)
        if text[place : place + 1] == ",":
            place += 1
        elif text[place : place + 1] != "]":
            reason = "No comma stands behind this row, so those behind it cannot be read."
            yield line, _Unreadable(reason)
            return


def _next(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\r\n":
        place += 1
    return place


def _not_utf8(error: UnicodeDecodeError) -> str:
    byte = error.object[error.start]
    return f"It is not UTF-8 (byte {error.start + 1} is {byte:#04x}): save the file as UTF-8."
