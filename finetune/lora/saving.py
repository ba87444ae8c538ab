"""Checkpoints of a training that are whole or not there at all.

Knows: the trainer's folders, which of them was finished, what a full disk looks like.
Does not know: what is in them.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from finetune.lora.options import TrainingError
from omni.errors import gigabytes

ADAPTER_FOLDER = "adapter"  # in a run's folder: what was learnt, when all is done
WHOLE = "whole"  # the file that is written into a checkpoint last
_PREFIX = "checkpoint-"
_SPARE_BYTES = 16 << 20  # that a disk should have left beside what is written
_FULL = "No space left on device"


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints of a run, the newest last."""
    found = [path for path in folder.glob(f"{_PREFIX}*") if (path / WHOLE).is_file()]
    return sorted(found, key=_step)


def clear_unfinished(folder: Path) -> None:
    """Remove checkpoints whose writing was cut off."""
    for path in folder.glob(f"{_PREFIX}*"):
        if not (path / WHOLE).is_file():
            shutil.rmtree(path, ignore_errors=True)


def mark_whole(folder: Path, step: int) -> None:
    """Say that the checkpoint of ``step`` is complete."""
    (folder / f"{_PREFIX}{step}" / WHOLE).write_text("", encoding="utf-8")


@contextmanager
def writing(folder: Path, step: int, need: int) -> Iterator[None]:
    """The writing of a checkpoint; where it fails, nothing of it stays.

    Args:
        need: bytes that it will take, about.

    Raises:
        TrainingError: ``disk-full`` or ``checkpoint-unwritten``; the ones before are untouched.
    """
    free = shutil.disk_usage(folder).free
    if free < need + _SPARE_BYTES:
        raise _full(folder, free)
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have own ones
        shutil.rmtree(folder / f"{_PREFIX}{step}", ignore_errors=True)
        if is_full(error):
            raise _full(folder, shutil.disk_usage(folder).free) from error
        raise TrainingError(
            "checkpoint-unwritten",
            "The state of step {step} could not be written into {folder} ({detail}). {kept}",
            step=step,
            folder=folder,
            detail=error,
            kept=_kept(folder),
        ) from error


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if _FULL in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _full(folder: Path, free: int) -> TrainingError:
    return TrainingError(
        "disk-full",
        "The disk of {folder} is full ({free} GB are free): make room there. {kept}",
        folder=folder,
        free=gigabytes(free),
        kept=_kept(folder),
    )


def _kept(folder: Path) -> str:
    known = checkpoints(folder)
    if not known:
        return "Nothing was saved yet; the same command begins anew."
    return f"The state of step {_step(known[-1])} is whole: the same command goes on from there."


def _step(path: Path) -> int:
    return int(path.name.removeprefix(_PREFIX))
