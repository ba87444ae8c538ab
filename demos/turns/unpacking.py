"""Zip files of strangers: opened and unpacked within bounds.

Knows: how many files and bytes may come out of a zip, and which packing is read.
Does not know: what lies in it, sentences.

A zip of a megabyte can hold a gigabyte of zeros, or a table of millions of names: the bounds are
looked at before anything is read, and again while it is, for what a zip says of itself may be a
lie.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

BLOCK_BYTES = 1 << 20
RATIO = 20  # bytes out of one byte; a text packs ten to one, and media are packed already
SLACK_BYTES = 10_000_000  # come out whatever the ratio: short silence and flat pictures pack well
ENTRY_BYTES = 1000  # of the zip's own table, for each file: a name, times, a comment

_END, _END_BYTES = b"PK\x05\x06", 22
_LONGEST_COMMENT = 1 << 16
_BIG_END = b"PK\x06\x07"  # the table of a zip beyond 4 GB or 65,535 files
# The other methods unpack what they are given at once, however much it is.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class TooLarge(Exception):
    """More comes out of a zip than may."""


@dataclass(frozen=True)
class ZipBounds:
    """What may come out of one zip."""

    files: int
    bytes_in_all: int
    bytes_each: int
    seconds: float  # of the clock


@dataclass
class BoundedZip:
    """An open zip that gives no more than its bounds."""

    archive: zipfile.ZipFile
    bounds: ZipBounds
    packed: int  # bytes of the zip
    unpacked: int = 0  # bytes that came out so far
    _due: float = field(init=False)

    def __post_init__(self) -> None:
        self._due = time.monotonic() + self.bounds.seconds

    def read(self, name: str, most: int) -> bytes:
        """A whole small file.

        Raises:
            KeyError: there is none of the name.
            TooLarge: it has more than ``most`` bytes, or the zip is at its bounds.
        """
        return b"".join(self._blocks(name, most))

    def extract(self, name: str, target: Path) -> None:
        """A file of the zip as the new file ``target``.

        Raises:
            KeyError: there is none of the name.
            TooLarge: the zip is at its bounds.
            OSError: it cannot be written.
        """
        with target.open("wb") as opened:
            for block in self._blocks(name, self.bounds.bytes_each):
                opened.write(block)

    def _blocks(self, name: str, most: int) -> Iterator[bytes]:
        info = self.archive.getinfo(name)
        if info.compress_type not in _METHODS:
            raise NotImplementedError("That compression method is not read here.")
        most = min(most, self._left(), max(SLACK_BYTES, RATIO * info.compress_size))
        if info.file_size > most:
            raise TooLarge(name)
        with self.archive.open(info) as opened:
            while block := opened.read(BLOCK_BYTES):
                most -= len(block)
                self.unpacked += len(block)
                if most < 0 or time.monotonic() > self._due:
                    raise TooLarge(name)
                yield block

    def _left(self) -> int:
        in_all = min(self.bounds.bytes_in_all, SLACK_BYTES + RATIO * self.packed)
        return in_all - self.unpacked


@contextmanager
def open_zip(path: Path, bounds: ZipBounds) -> Iterator[BoundedZip]:
    """The zip of ``path``.

    Raises:
        TooLarge: there are more files in it, or more bytes, than ``bounds`` allow.
        zipfile.BadZipFile: it is none.
    """
    packed = path.stat().st_size
    if packed > bounds.bytes_in_all:
        raise TooLarge(path.name)
    with path.open("rb") as opened:
        _check_table(opened, packed, bounds.files, path.name)
        with zipfile.ZipFile(opened) as archive:
            if len(archive.filelist) > bounds.files:
                raise TooLarge(path.name)
            yield BoundedZip(archive, bounds, packed)


def _check_table(opened: BinaryIO, size: int, files: int, name: str) -> None:
    """Look at how long the zip's own table is before all of it is read."""
    opened.seek(max(0, size - _LONGEST_COMMENT - _END_BYTES))
    tail = opened.read()
    opened.seek(0)
    place = tail.rfind(_END)
    if place < 0 or len(tail) < place + _END_BYTES:
        raise zipfile.BadZipFile("File is not a zip file")
    table_bytes = int.from_bytes(tail[place + 12 : place + 16], "little")
    if _BIG_END in tail or table_bytes > files * ENTRY_BYTES:
        raise TooLarge(name)
