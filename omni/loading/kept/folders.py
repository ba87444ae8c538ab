"""A folder that appears whole or not at all, whenever the process is killed.

Knows: writing beside, locks, fsync, renaming, what a full disk says. Does not know: what is in the
folder.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from omni.errors import BusyError, ResourceError, gigabytes
from omni.loading.hub import FULL, UNWRITABLE
from omni.loading.places import free_on_disk

UNFINISHED = ".unfinished"  # ends the name of what is being written, or was when its writer died
LOCK = ".lock"
MARGIN = 100_000_000  # bytes that stay free


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A folder to write into, which becomes ``target`` when the block ends without an error.

    It lies beside ``target``; an error, also a cancellation, removes it. What a killed process
    left is removed by the next one that writes to the same target, or by :func:`sweep`.

    Raises:
        BusyError: ``kept-busy``, another process or thread is writing the same.
        ResourceError: ``kept-full``, the disk is full; ``kept-unwritable``.
    """
    making = unfinished(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_lock(target), blocking=False, thread_local=False)
        lock.acquire()
    except Timeout as error:
        raise BusyError(
            "kept-busy", "{path} is being written already: wait for its end.", path=target
        ) from error
    except OSError as error:
        raise of_the_disk(error, target.parent) from error
    try:
        remove(making)
        making.mkdir()
        yield making
        _settle(making)
        remove(target)
        making.rename(target)
        _sync(target.parent)
    except (OSError, SafetensorError) as error:
        raise of_the_disk(error, target.parent) from error
    finally:
        remove(making)
        _unlock(lock, target)


def check_room(need: int, target: Path) -> None:
    """Whether ``need`` bytes fit onto the disk of ``target``.

    Raises:
        ResourceError: ``kept-short``.
    """
    place, free = free_on_disk(target)
    if need + MARGIN > free:
        raise ResourceError(
            "kept-short",
            "The quantized weights need {need} GB on disk and {free} GB are free at {path}: free "
            "some space (`omni cache` lists what is kept), or choose another disk (OMNI_KEPT names "
            "the folder for kept weights).",
            need=gigabytes(need + MARGIN),
            free=gigabytes(free),
            path=place,
        )


def sweep(parent: Path) -> None:
    """Remove what killed processes left in ``parent``; what is being written now stays."""
    if not parent.is_dir():
        return
    for making in parent.glob(f".*{UNFINISHED}"):
        target = parent / making.name.removeprefix(".").removesuffix(UNFINISHED)
        if not is_locked(target):
            remove(making)
            _lock(target).unlink(missing_ok=True)


def is_locked(target: Path) -> bool:
    """Whether somebody is writing ``target`` now."""
    if not _lock(target).exists():
        return False
    lock = FileLock(_lock(target), blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:  # of another user
        return True
    lock.release()
    return False


def unfinished(target: Path) -> Path:
    """Where ``target`` lies while it is written."""
    return target.with_name(f".{target.name}{UNFINISHED}")


def remove(folder: Path) -> None:
    """Remove a folder; nothing happens where there is none."""
    if folder.exists():
        shutil.rmtree(folder)


def size(folder: Path) -> int:
    """Bytes of the files below ``folder``."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def of_the_disk(error: Exception, place: Path) -> ResourceError:
    """What the disk of ``place`` lacks; any other error is raised as it is."""
    number = getattr(error, "errno", None)
    text = str(error).lower()
    if number in FULL or "no space left" in text or "quota exceeded" in text:
        return ResourceError(
            "kept-full",
            "The disk of {path} is full: nothing was kept. Free some space, or choose another disk "
            "(OMNI_KEPT names the folder for kept weights).",
            path=place,
        )
    if number not in {*UNWRITABLE, errno.EEXIST} or not isinstance(error, OSError):
        raise error
    return ResourceError(
        "kept-unwritable",
        "{path} cannot be written ({reason}): choose another folder (OMNI_KEPT names the one for "
        "kept weights).",
        path=place,
        reason=error.strerror or error,
    )


def _settle(folder: Path) -> None:
    """Everything below ``folder`` is on the disk itself."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
    for path in (*(p for p in folder.rglob("*") if p.is_dir()), folder):
        _sync(path)


def _sync(folder: Path) -> None:
    """The entries of a folder are on the disk; Windows has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(target: Path) -> Path:
    return target.with_name(f".{target.name}{LOCK}")


def _unlock(lock: FileLock, target: Path) -> None:
    if os.name == "nt":  # an open file cannot be removed there
        lock.release()
        _lock(target).unlink(missing_ok=True)
        return
    _lock(target).unlink(missing_ok=True)
    lock.release()
