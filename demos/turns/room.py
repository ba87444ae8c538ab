"""Room on the disk: how much a session and all of them may hold, and how a full disk is told.

Knows: quotas, sizes of folders, which errors of the system mean that nothing more fits.
Does not know: whose files they are, when they are removed.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omni.errors import ResourceError

log = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Quota:
    """Bytes on the disk. The values are for one's own machine; see :data:`SHARED_QUOTA`."""

    session: int = 20_000_000_000
    everybody: int = 100_000_000_000  # uploads that nobody sent yet included


# Where others reach the page.
SHARED_QUOTA = Quota(session=500_000_000, everybody=5_000_000_000)


def bytes_in(folder: Path) -> int:
    """What lies in a folder; a file of several names counts once."""
    return sum(file_sizes(folder).values())


def file_sizes(folder: Path) -> dict[tuple[int, int], int]:
    """The size of every file by what it is on the disk (device and inode)."""
    sizes: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                state = (Path(place) / name).lstat()
            except OSError:  # removed in the meantime
                continue
            sizes[state.st_dev, state.st_ino] = state.st_size
    return sizes


def check_session(session: Path, quota: Quota, more: int) -> None:
    """Refuse ``more`` bytes that are beyond the quota of one session.

    Raises:
        ResourceError: ``session-full``.
    """
    if bytes_in(session) + more > quota.session:
        raise ResourceError(
            "session-full",
            "One session may keep {megabytes} MB here, and this is more: send smaller files, or "
            "begin a new conversation.",
            megabytes=quota.session // 1_000_000,
        )


def check_room(session: Path, everybody: Path, quota: Quota, more: int) -> None:
    """Refuse ``more`` bytes that are beyond one of the quotas.

    Raises:
        ResourceError: ``session-full``, ``sessions-full``.
    """
    check_session(session, quota, more)
    if bytes_in(everybody) + more > quota.everybody:
        raise ResourceError(
            "sessions-full",
            "The server keeps as much for its visitors as it may: try again later.",
        )


def storage_full() -> ResourceError:
    """The disk itself is full."""
    return ResourceError(
        "storage-full",
        "The disk of the server is full, so this could not be kept: free some space and try again.",
    )


def storage_unusable() -> ResourceError:
    """The disk takes no files, for another reason."""
    return ResourceError(
        "storage-unusable",
        "The server could not write to its disk, so this could not be kept: its log says why.",
    )


def told(error: OSError) -> ResourceError:
    """A failure to write as a sentence; what the owner has to look into is in the log."""
    if error.errno in FULL:
        return storage_full()
    log.error("a file could not be written", exc_info=error)
    return storage_unusable()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """``path``, alone in its folder, to be written; nothing of both stays if that fails.

    Raises:
        ResourceError: ``storage-full``, ``storage-unusable``.
        FileNotFoundError: what was to be copied is not there.
    """
    try:
        yield path
    except BaseException as error:
        shutil.rmtree(path.parent, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise told(error) from error
        raise
