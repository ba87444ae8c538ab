"""What a person gives the command line: recordings by any name, texts in any encoding.

Knows: folders, pipes, standard input, byte-order marks. Does not know: what is done with them.
"""

from __future__ import annotations

import codecs
import locale
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from omni.media.limits import limits

STDIN = "-"
SOUNDS = {
    *(".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".aif", ".aiff"),
    *(".webm", ".mp4", ".mov", ".mkv", ".avi", ".3gp", ".amr", ".caf", ".au"),
}
MARKS = (  # the longer ones first: UTF-32's begins like UTF-16's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BLOCK = 1 << 20


def recordings(given: Iterable[Path]) -> list[Path]:
    """The files that are meant: for a folder, the sounds and clips in it, by name.

    Raises:
        FileNotFoundError: a folder has none.
    """
    found: list[Path] = []
    for path in given:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(f for f in path.rglob("*") if f.suffix.lower() in SOUNDS and f.is_file())
        if not inside:
            raise FileNotFoundError(2, "no sound or clip in this folder", str(path))
        found += inside
    return found


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """``path`` as a file that can be read from any place; a pipe is read into one that goes away.

    A pipe is standard input (``-``), a named one, or what a shell puts in place of a command.
    """
    if str(path) != STDIN and (path.is_file() or not path.exists() or path.is_dir()):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="omni-input-") as folder:
        copy = Path(folder) / ("standard input" if str(path) == STDIN else path.name)
        with copy.open("wb") as target:
            if str(path) == STDIN:
                _copy(sys.stdin.buffer, target)
            else:
                with path.open("rb") as source:
                    _copy(source, target)
        yield copy


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    """As much as may be read, and a block more, which whoever reads it refuses."""
    left = limits().file_bytes + _BLOCK
    while left > 0 and (block := source.read(min(_BLOCK, left))):
        target.write(block)
        left -= len(block)


def stdin_text() -> str:
    """All of standard input as text."""
    raw = getattr(sys.stdin, "buffer", None)
    return decoded(raw.read()) if raw is not None else clean(sys.stdin.read())


def decoded(data: bytes) -> str:
    """Text in UTF-8, in what its byte-order mark says, or else in the system's encoding."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(locale.getpreferredencoding(False), errors="replace")


def clean(text: str) -> str:
    """Text that can be encoded: without a mark at its start, and without halves of characters.

    Such halves stand for bytes of an argument that the system could not read.
    """
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.removeprefix("\ufeff")


def speak_any_encoding() -> None:
    """Let what a terminal cannot show be written as its number, and read what is no text."""
    for stream, errors in (
        (sys.stdout, "backslashreplace"),
        (sys.stderr, "backslashreplace"),
        (sys.stdin, "replace"),
    ):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)


def leave_stdout() -> None:
    """Nobody reads what is still to be written, or there is no room for it."""
    try:
        sys.stdout.flush()
    except OSError:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
