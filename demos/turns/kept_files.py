"""Uploads and their copies in a session's folder, as files.

Knows: links, copies, when an upload was changed. Does not know: sessions, quotas.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kept:
    """The copy of an upload, and when the upload was last changed (nanoseconds)."""

    copy: Path
    changed: int


def changed_at(upload: Path, known: Kept) -> int:
    """When an upload was last changed; one that is gone did not change since it was copied."""
    try:
        return upload.stat().st_mtime_ns
    except FileNotFoundError:
        return known.changed


def remove_folders(folders: list[Path]) -> None:
    """Remove folders with all that is in them."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where that cannot be."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def remove_upload(upload: Path, changed: int | None = None) -> None:
    """Remove an upload, unless someone has uploaded the same content again since ``changed``."""
    try:
        if changed is not None and upload.stat().st_mtime_ns != changed:
            return
        upload.unlink()
        upload.parent.rmdir()  # Gradio gives every content a folder of its own
    except OSError:  # gone already, or the folder holds another name for the same content
        return
