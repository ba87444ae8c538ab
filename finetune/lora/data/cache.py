"""What was made of media, kept on the disk under the hash of what it was made of.

Knows: entries (one array each), how much may be kept, what an interruption leaves behind.
Does not know: what the arrays are.

An entry is written beside its place and moved there whole, so that a run that was killed, or two
runs at once, leave nothing half written under a name; an entry that cannot be read is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finetune.lora.data.places import cache_folder
from omni.media.files import readable_file

logger = logging.getLogger(__name__)

MOST_BYTES = 20_000_000_000  # of all entries together
KEPT_SHARE = 0.8  # of the most, after a sweep
SWEEP_EVERY_BYTES = 500_000_000  # written by one process
STALE_S = 3600.0  # a half-written file that is older belongs to nobody
_SUFFIX, _PART = ".npy", ".part"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Swept:
    """What a sweep removed."""

    entries: int
    size: int  # bytes


class MediaCache:
    """Arrays by key, the least recently used ones going first. Safe for several processes."""

    def __init__(self, folder: Path | None = None, most_bytes: int = MOST_BYTES) -> None:
        """
        Args:
            folder: None: ``media`` in :func:`finetune.lora.data.places.cache_folder`.
        """
        self.folder = folder or cache_folder() / "media"
        self.hits = self.misses = 0
        self._most_bytes = most_bytes
        self._written = 0
        self._files: dict[tuple[Path, int, int], str] = {}  # hash by path, nanoseconds, size

    def get(self, key: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The array under ``key``; made and kept if there is none."""
        path = self._path(key)
        found = _read(path)
        if found is not None:
            self.hits += 1
            return found
        self.misses += 1
        made = make()
        self._write(path, made)
        return made

    def key(self, path: Path, *what: object) -> str:
        """Of a file's content and everything else that the array depends on.

        Raises:
            MediaError: the file is missing, empty or too large.
        """
        said = hashlib.sha256(self.file_hash(path).encode())
        said.update(repr(what).encode())
        return said.hexdigest()

    def file_hash(self, path: Path) -> str:
        """SHA-256 of a file's content; a file that has not changed is read once.

        Raises:
            MediaError: the file is missing, empty or too large.
        """
        file = readable_file(path)
        state = file.stat()
        known = file, state.st_mtime_ns, state.st_size
        if known not in self._files:
            digest = hashlib.sha256()
            with file.open("rb") as content:
                while block := content.read(_BLOCK):
                    digest.update(block)
            self._files[known] = digest.hexdigest()
        return self._files[known]

    def sweep(self) -> Swept:
        """Remove what was left half written, and the oldest entries beyond the most."""
        removed = size = 0
        now = time.time()
        entries = []
        for file in self._listed():
            with contextlib.suppress(FileNotFoundError):  # another process sweeps too
                state = file.stat()
                if file.suffix == _PART and now - state.st_mtime > STALE_S:
                    file.unlink()
                elif file.suffix == _SUFFIX:
                    entries.append((state.st_mtime, state.st_size, file))
        total = sum(entry[1] for entry in entries)
        if total > self._most_bytes:
            for _, bytes_, file in sorted(entries):
                if total <= self._most_bytes * KEPT_SHARE:
                    break
                file.unlink(missing_ok=True)
                total, size, removed = total - bytes_, size + bytes_, removed + 1
        self._written = 0
        return Swept(removed, size)

    def _listed(self) -> list[Path]:
        return list(self.folder.glob("*/*")) if self.folder.is_dir() else []

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key[2:]}{_SUFFIX}"

    def _write(self, path: Path, array: np.ndarray) -> None:
        """A full disk costs the time of making it again, not the run."""
        part: str | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=path.parent, suffix=_PART)
            with os.fdopen(handle, "wb") as file:
                np.save(file, array, allow_pickle=False)
            Path(part).replace(path)
        except OSError as error:
            logger.warning("%s cannot be written (%s): it will be made again", path, error.strerror)
            if part is not None:
                Path(part).unlink(missing_ok=True)
            return
        self._written += array.nbytes
        if self._written > min(SWEEP_EVERY_BYTES, self._most_bytes):
            self.sweep()


def _read(path: Path) -> np.ndarray | None:
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
        os.utime(path)  # used now
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        logger.warning("%s cannot be read (%s): it is made again", path, error)
        return None
    return array
