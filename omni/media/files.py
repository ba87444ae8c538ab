"""A media file before anybody decodes it.

Knows: whether there is something to read. Does not know: formats.
"""

from __future__ import annotations

from pathlib import Path

from omni.errors import MediaError
from omni.media.limits import limits


def readable_file(path: Path | str) -> Path:
    """``path``, absolute (a decoder would take a relative ``concat:...`` for a protocol).

    Raises:
        MediaError: ``media-missing``, ``media-empty`` or ``media-too-large``.
    """
    file = Path(path)
    if not file.is_file():
        raise MediaError(
            "media-missing", "{name} was not found: add the file again.", name=file.name
        )
    if file.stat().st_size == 0:
        raise MediaError(
            "media-empty", "{name} is empty: record or choose it again.", name=file.name
        )
    most = limits().file_bytes
    if file.stat().st_size > most:
        raise MediaError(
            "media-too-large",
            "{name} is larger than {megabytes} MB: send a smaller one.",
            name=file.name,
            megabytes=most // 1_000_000,
        )
    return file.resolve()
