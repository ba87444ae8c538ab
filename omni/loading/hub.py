"""Checkpoints from the Hugging Face Hub: downloads that report bytes and can be cancelled.

Knows: repositories, which of their files we read, the Hub client's progress bars.
Does not know: what is in a checkpoint, where else one may come from.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm.auto import tqdm

from omni.errors import CheckpointError, ResourceError, gigabytes
from omni.events import Progress
from omni.loading.background import Report, in_background

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
FILES_AT_ONCE = 2  # few, because files that were begun are lost when the download is interrupted
_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def is_repository(name: str) -> bool:
    """Whether ``name`` is spelled like a repository on the Hub (owner/name)."""
    return _NAME.fullmatch(name) is not None


def fetch(
    repository: str, patterns: Iterable[str] = CHECKPOINT_FILES
) -> Generator[Progress, None, Path]:
    """Fetch a repository's files into the Hub's cache; return their folder.

    Files that are already there are not fetched again, a broken connection is taken up where it
    broke, and without a network a complete cached copy is used. Closing the generator stops the
    download; whole files stay, begun ones are lost.

    Raises:
        CheckpointError: no such repository, no access, or no network and nothing in the cache.
        ResourceError: the disk is too small.
    """
    patterns = list(patterns)
    try:
        return (yield from in_background(lambda report: _snapshot(repository, patterns, report)))
    except (GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise CheckpointError(
            "hub-not-found",
            "There is no model {name} on the Hugging Face Hub, or it needs a login: check the "
            "name, or log in with `hf auth login`.",
            name=repository,
        ) from error
    except HFValidationError as error:
        raise CheckpointError(
            "hub-name",
            "{name} is neither a folder nor the name of a model on the Hugging Face Hub.",
            name=repository,
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, ConnectionError, TimeoutError) as error:
        raise _unreachable(repository) from error
    except OSError as error:
        if "No space left" in str(error):
            raise ResourceError(
                "disk-full",
                "The disk is full: free some space and load again (files that are complete are not "
                "fetched twice).",
            ) from error
        raise _unreachable(repository) from error


def _unreachable(repository: str) -> CheckpointError:
    return CheckpointError(
        "hub-unreachable",
        "{name} could not be fetched from the Hugging Face Hub: check the network and try again "
        "(files that are complete are not fetched twice), or give a local folder.",
        name=repository,
    )


def _snapshot(repository: str, patterns: list[str], report: Report) -> Path:
    total = _plan(repository, patterns)
    report(Progress("download", 0, total, "bytes"))
    folder = huggingface_hub.snapshot_download(
        repository,
        allow_patterns=patterns,
        tqdm_class=_reporting_bar(report, total),
        max_workers=FILES_AT_ONCE,
    )
    return Path(folder)


def _plan(repository: str, patterns: list[str]) -> int:
    """Bytes that will be fetched; 0 when the Hub does not tell (then the cache may do).

    Raises:
        ResourceError: more than fits on the cache's disk.
    """
    try:
        files = huggingface_hub.snapshot_download(
            repository,
            allow_patterns=patterns,
            dry_run=True,
            tqdm_class=_reporting_bar(lambda progress: None, 0),
        )
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError):
        raise
    except OSError:  # no network: DryRunError; the real call decides whether the cache is enough
        return 0
    total = sum(file.file_size or 0 for file in files if file.will_download)
    place = Path(constants.HF_HUB_CACHE)
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if total > free:
        raise ResourceError(
            "disk-short",
            "{name} needs {need} GB on disk and {free} GB are free: free some space, or set "
            "HF_HOME to a larger disk.",
            name=repository,
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
            report(Progress("download", done, total, "bytes"))

    return ReportingBar
