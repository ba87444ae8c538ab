"""Checkpoints from the Hugging Face Hub: downloads that report bytes and can be cancelled.

Knows: repositories, which of their files we read, the Hub client's progress bars.
Does not know: what is in a checkpoint, where else one may come from.
"""

from __future__ import annotations

import errno
import re
import threading
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm.auto import tqdm

from omni.errors import CheckpointError, ResourceError, gigabytes
from omni.events import Progress
from omni.loading.places import free_on_disk
from omni.loading.progress.background import Report, in_background
from omni.loading.progress.pace import Pace

VOCODER_REPOSITORY = "FunAudioLLM/CosyVoice2-0.5B"  # Apache-2.0
VOCODER_FILE = "hift.pt"
# What loading reads; a repository's code, pictures and pickles stay where they are.
CHECKPOINT_FILES = (
    "*.json",
    "*.safetensors",
    "merges.txt",
    VOCODER_FILE,
    f"cosy24k_vocoder/{VOCODER_FILE}",
    f"third_party/cosy24k_vocoder/{VOCODER_FILE}",
)
# Closing waits so long for the client: it looks up when bytes come, and they may not come.
STOP_S = 0.5
FILES_AT_ONCE = 2  # few, because files that were begun are lost when the download is interrupted
REVISION = "main"  # which version of a repository; the cache finds it again without a network
FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}
# owner/name, and behind an @ a branch, a tag or a commit.
_NAME = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>\w[\w./-]*))?")


@dataclass(frozen=True)
class Wanted:
    """What of a repository is fetched."""

    repository: str  # owner/name
    patterns: tuple[str, ...]  # of its files
    revision: str  # a branch, tag or commit


def is_repository(name: str) -> bool:
    """Whether ``name`` is spelled like a model on the Hub: owner/name, owner/name@revision."""
    return _NAME.fullmatch(name) is not None


def parted(name: str) -> tuple[str, str]:
    """The repository and the revision of a name that :func:`is_repository` knows."""
    found = _NAME.fullmatch(name)
    return (found["repository"], found["revision"] or REVISION) if found else (name, REVISION)


def cached(name: str, file: str = "config.json") -> Path | None:
    """The folder in the Hub's cache that has ``file`` of a repository; None: there is none.

    Args:
        name: owner/name, or owner/name@revision.
    """
    repository, revision = parted(name)
    try:
        found = huggingface_hub.try_to_load_from_cache(repository, file, revision=revision)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None


def fetch(
    repository: str, patterns: Iterable[str] = CHECKPOINT_FILES, revision: str = REVISION
) -> Generator[Progress, None, Path]:
    """Fetch a repository's files into the Hub's cache; return their folder, named by the commit.

    All files are of one commit: the client asks which one ``revision`` is before it fetches any.

    Files that are already there are not fetched again, a broken connection is taken up where it
    broke, and without a network a complete cached copy is used. Closing the generator stops the
    download; whole files stay, begun ones are lost.

    Raises:
        CheckpointError: no such repository, no access, or no network and nothing in the cache.
        ResourceError: the disk is too small or full, or the cache's folder cannot be written.
    """
    wanted = Wanted(repository, tuple(patterns), revision)
    try:
        return (yield from in_background(lambda report: _snapshot(wanted, report), STOP_S))
    except HFValidationError as error:
        raise CheckpointError(
            "hub-name",
            "{name} is neither a folder nor the name of a model on the Hugging Face Hub.",
            name=repository,
        ) from error
    except (
        OSError,
        RuntimeError,
        httpx.HTTPError,
    ) as error:  # the client's errors, and those of its own downloader
        found = _of_the_disk(error) or _of_the_hub(wanted, error)
        if found is None:
            raise
        raise found from error


def _of_the_disk(error: BaseException) -> ResourceError | None:
    """Whether the cache's disk or folder is at fault, and what it lacks."""
    folder = constants.HF_HUB_CACHE
    for cause in _causes(error):
        text = str(cause).lower()
        number = getattr(cause, "errno", None)
        if number in FULL or any(words in text for words in ("no space left", "quota exceeded")):
            return ResourceError(
                "disk-full",
                "The disk of {path} is full, or your quota on it: free some space and load again "
                "(files that are complete are not fetched twice), or set HF_HOME to another disk.",
                path=folder,
            )
        if number in UNWRITABLE:
            return ResourceError(
                "hub-folder",
                "The folder {path}, where checkpoints are kept, cannot be written ({reason}): "
                "set HF_HOME to one that can.",
                path=folder,
                reason=cause.strerror if isinstance(cause, OSError) else cause,
            )
    return None


def _of_the_hub(wanted: Wanted, error: BaseException) -> CheckpointError | None:
    """What the Hub, or the way to it, says."""
    repository = wanted.repository
    causes = list(_causes(error))
    refusals = [getattr(getattr(e, "response", None), "status_code", 0) for e in causes]
    if any(isinstance(e, GatedRepoError) for e in causes) or 403 in refusals:
        return CheckpointError(
            "hub-forbidden",
            "The Hugging Face Hub does not let you fetch {name}: accept its terms on its page, "
            "and log in with `hf auth login`.",
            name=repository,
        )
    if any(isinstance(e, RevisionNotFoundError) for e in causes):
        return CheckpointError(
            "hub-revision",
            "The model {name} on the Hugging Face Hub has no version {revision}: give a branch, a "
            "tag or a commit of its page behind the @, or leave it out.",
            name=repository,
            revision=wanted.revision,
        )
    if any(isinstance(e, RepositoryNotFoundError) for e in causes) or 401 in refusals:
        return CheckpointError(
            "hub-not-found",
            "There is no model {name} on the Hugging Face Hub, or it needs a login: check the "
            "name, or log in with `hf auth login`.",
            name=repository,
        )
    if constants.HF_HUB_OFFLINE:
        return CheckpointError(
            "hub-offline",
            "{name} is not on this machine, and HF_HUB_OFFLINE forbids to fetch it: unset that "
            "variable, or give a local folder.",
            name=repository,
        )
    if isinstance(error, OSError | httpx.HTTPError):
        return CheckpointError(
            "hub-unreachable",
            "{name} could not be fetched from the Hugging Face Hub: check the network and try "
            "again (files that are complete are not fetched twice), or give a local folder.",
            name=repository,
        )
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _snapshot(wanted: Wanted, report: Report) -> Path:
    report(Progress("check", 0, 0))  # what is there, what is to be fetched
    total = _plan(wanted)
    if total:
        report(Progress("download", 0, total, "bytes"))
    folder = huggingface_hub.snapshot_download(
        wanted.repository,
        revision=wanted.revision,
        allow_patterns=list(wanted.patterns),
        tqdm_class=_reporting_bar(report, total),
        max_workers=FILES_AT_ONCE,
    )
    return Path(folder)


def _plan(wanted: Wanted) -> int:
    """Bytes that will be fetched; 0 when the Hub does not tell (then the cache may do).

    Raises:
        ResourceError: more than fits on the cache's disk.
    """
    try:
        files = huggingface_hub.snapshot_download(
            wanted.repository,
            revision=wanted.revision,
            allow_patterns=list(wanted.patterns),
            dry_run=True,
            tqdm_class=_reporting_bar(lambda progress: None, 0),
        )
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError):
        raise
    except OSError:  # no network: DryRunError; the real call decides whether the cache is enough
        return 0
    total = sum(file.file_size or 0 for file in files if file.will_download)
    place, free = free_on_disk(Path(constants.HF_HUB_CACHE))
    if total > free:
        raise ResourceError(
            "disk-short",
            "{name} needs {need} GB on disk and {free} GB are free at {path}: free some space, or "
            "set HF_HOME to a larger disk.",
            name=wanted.repository,
            path=place,
            need=gigabytes(total),
            free=gigabytes(free),
        )
    return total


def _reporting_bar(report: Report, total: int) -> type[tqdm]:
    """A silent tqdm class whose bars of bytes call ``report`` with the one that is ahead.

    The Hub client has a bar of files and two of bytes (received, written), which its download
    threads share; their own totals grow as files begin, so ``total`` is used.
    """
    lock = threading.Lock()
    pace = Pace()
    ahead = 0.0

    class ReportingBar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.counts_bytes = kwargs.get("unit") == "B"
            super().__init__(*args, **kwargs | {"disable": True})  # draws nothing

        def update(self, n: float | None = 1) -> None:
            """Report ``n`` bytes more, if no other bar has come further."""
            nonlocal ahead
            with lock:
                self.n += n or 0
                if not self.counts_bytes or self.n <= ahead:
                    return
                ahead = min(self.n, total) if total else self.n
                done = ahead
            report(Progress("download", done, total, "bytes", pace.left_s(done, total)))

    return ReportingBar
