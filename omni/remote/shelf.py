"""Files of conversations where the model is: each travels once, and goes with its session.

Knows: folders, contents by their digest, how much all of it may take. Does not know: connections.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath, PureWindowsPath

import psutil

from omni.errors import BusyError, MediaError
from omni.media.limits import limits
from omni.remote.wire import GivenFile, Want, WireError

PREFIX = "omni-shelf-"
SHELF_BYTES = 8 * 2**30  # of the files of all sessions
MOST_FILES = 1000  # of a request
NAME_BYTES = 200  # of a file's name, as file systems allow


class Shelf:
    """The files of all sessions in one folder, which is removed at the end."""

    def __init__(self, place: Path | None = None, most_bytes: int = SHELF_BYTES) -> None:
        """Args:
        place: where the folder is made; None: with the other temporary files.
        most_bytes: of all files; sessions that were not there for longest are forgotten first.
        """
        place = place or Path(tempfile.gettempdir())
        for left in place.glob(f"{PREFIX}*"):  # of processes that were killed
            process = left.name.removeprefix(PREFIX).split("-")[0]
            if process.isdecimal() and not psutil.pid_exists(int(process)):
                shutil.rmtree(left, ignore_errors=True)
        self._folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place))
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()  # by session, the latest last
        self._used: dict[str, int] = {}  # sessions with requests under way

    @contextmanager
    def session(self, name: str | None) -> Iterator[Place]:
        """The place of a session's files while a request of it is under way; None: of one alone."""
        key = hashlib.sha256((name or uuid.uuid4().hex).encode()).hexdigest()[:32]
        with self._lock:
            self._used[key] = self._used.get(key, 0) + 1
            self._sizes.setdefault(key, 0)
            self._sizes.move_to_end(key)
        try:
            yield Place(self, key, self._folder / key)
        finally:
            with self._lock:
                self._used[key] -= 1
                if not self._used[key]:
                    del self._used[key]
                    if name is None or key not in self._sizes:
                        self._remove(key)
                    else:  # what was to come and did not takes no room
                        self._sizes[key] = taken(self._folder / key)

    def forget(self, name: str) -> None:
        """Remove a session's files, at the latest once its requests are over."""
        key = hashlib.sha256(name.encode()).hexdigest()[:32]
        with self._lock:
            self._sizes.pop(key, None)
            if key not in self._used:
                self._remove(key)

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def take(self, key: str, size: int) -> None:
        """Make room for so many bytes of a session.

        Raises:
            BusyError: ``remote-full``.
        """
        with self._lock:
            for other in tuple(self._sizes):
                if sum(self._sizes.values()) + size <= self._most_bytes:
                    break
                if other not in self._used:
                    self._remove(other)
            if sum(self._sizes.values()) + size > self._most_bytes:
                raise BusyError(
                    "remote-full",
                    "The engine has no room for the files of this conversation: "
                    "send smaller ones, or begin a new one.",
                )
            self._sizes[key] = self._sizes.get(key, 0) + size

    def _remove(self, key: str) -> None:
        self._sizes.pop(key, None)
        shutil.rmtree(self._folder / key, ignore_errors=True)


class Place:
    """Where the files of a session are."""

    def __init__(self, shelf: Shelf, key: str, folder: Path) -> None:
        self._shelf, self._key, self._folder = shelf, key, folder

    def want(self, files: Sequence[GivenFile]) -> Want:
        """What has to be sent of these.

        Raises:
            MediaError: ``media-too-large``.
            BusyError: there is no room.
            WireError: there are more than a request may name.
        """
        if len(files) > MOST_FILES:
            raise WireError("too many files")
        most = limits().file_bytes
        for file in files:
            if file.size > most:
                raise MediaError(
                    "media-too-large",
                    "{name} is larger than {megabytes} MB: send a smaller one.",
                    name=plain_name(file.name),
                    megabytes=most // 1_000_000,
                )
        missing = [
            number
            for number, file in enumerate(files)
            if file.size >= 0 and not self.path(file).is_file()
        ]
        self._shelf.take(self._key, sum(files[number].size for number in missing))
        return Want(tuple(missing))

    def path(self, file: GivenFile) -> Path:
        """Where a file is, or is to be; the same content under the same name is the same file."""
        digest = file.digest
        if file.size >= 0 and (len(digest) != 64 or not set(digest) <= set("0123456789abcdef")):
            raise WireError("no digest")
        return self._folder / (digest if file.size >= 0 else "missing") / plain_name(file.name)

    @contextmanager
    def receiving(self, file: GivenFile) -> Iterator[Receiving]:
        """A file that is being sent; it is there when all of it has come."""
        target = self.path(file)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = target.parent.with_name(f"{uuid.uuid4().hex}.part")
        try:
            with part.open("wb") as opened:
                coming = Receiving(file, opened.write)
                yield coming
            coming.check()
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


class Receiving:
    """How much of a file has come."""

    def __init__(self, file: GivenFile, write: Callable[[bytes], object]) -> None:
        self._file, self._write = file, write
        self._digest = hashlib.sha256()
        self.left = file.size  # bytes

    def add(self, data: bytes) -> None:
        """The next piece."""
        self.left -= len(data)
        if self.left < 0:
            raise WireError("more of a file than was said")
        self._digest.update(data)
        self._write(data)

    def check(self) -> None:
        """All is there, and it is what was said."""
        if self.left or self._digest.hexdigest() != self._file.digest:
            raise WireError("another file than was said")


def taken(folder: Path) -> int:
    """Bytes of the files below ``folder``."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def plain_name(name: str) -> str:
    """A name that leads nowhere else, and that every file system takes."""
    last = PureWindowsPath(PurePath(name).name).name
    shown = "".join(letter for letter in last if letter.isprintable()).strip(". ")
    stem, dot, ending = shown.rpartition(".")
    while len(shown.encode(errors="replace")) > NAME_BYTES and stem:
        stem = stem[: len(stem) - 8]
        shown = f"{stem}{dot}{ending}"
    return shown.encode(errors="replace").decode()[:NAME_BYTES] or "file"
