"""Where the files of a row are: paths beside the data file, and content within the row.

Knows: relative paths, file addresses, data URIs and base64, which are written to a folder under
the hash of their content. Does not know: what is in a file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from finetune.lora.data.formats import Medium
from finetune.lora.data.refused import RefusedError

_DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w.+-]+=[^;,]*)*)(;base64)?,", re.ASCII)
_SUFFIX = re.compile(r"[a-z0-9]{1,5}", re.ASCII)
# Media types whose usual suffix is not their second half.
_SUFFIXES: Mapping[str, str] = {
    "x-wav": "wav",
    "wave": "wav",
    "vnd.wave": "wav",
    "mpeg": "mp3",
    "x-m4a": "m4a",
    "quicktime": "mov",
    "x-matroska": "mkv",
}
MOST_SHOWN = 80  # characters of a path in a sentence


class Sources:
    """Finds the files of one data file."""

    def __init__(self, folder: Path, inline: Path) -> None:
        """
        Args:
            folder: from which relative paths count: the data file's.
            inline: where content goes that stands in the rows themselves.
        """
        self._folder = folder
        self._inline = inline

    def path(self, medium: Medium) -> Path:
        """The file of ``medium``, which exists.

        Raises:
            RefusedError: it does not, or is named in a way that cannot be followed.
        """
        source = medium.source
        if isinstance(source, dict):
            return self._mapped(medium, source)
        if isinstance(source, list):
            raise RefusedError(
                f"A {medium.kind} is a list of files: write a clip as one file, or its frames as "
                "pictures."
            )
        if not isinstance(source, str) or not source.strip():
            raise RefusedError(f"A {medium.kind} is named by nothing that is a path.")
        head = _DATA_URI.match(source)
        if head is not None:
            if not head[3]:
                raise RefusedError(f"The data URI of a {medium.kind} is not in base64.")
            return self._written(source[head.end() :], medium.kind, _suffix(head[1]))
        return self._found(source, medium.kind)

    def _mapped(self, medium: Medium, source: Mapping[str, Any]) -> Path:
        for key in ("base64", "bytes", "data"):
            if isinstance(source.get(key), str):
                return self._written(source[key], medium.kind, _suffix(medium.format))
        for key in ("path", "url"):
            if isinstance(source.get(key), str):
                return self.path(Medium(medium.kind, source[key]))
        raise RefusedError(f"A {medium.kind} has neither a path nor content in base64.")

    def _found(self, source: str, kind: str) -> Path:
        address = urlsplit(source) if "://" in source else None
        if address is not None and address.scheme == "file":
            source = unquote(address.path)
        elif address is not None:
            raise RefusedError(
                f"{_short(source)} is a web address: fetch the {kind} and name the file."
            )
        if "\0" in source:
            raise RefusedError(f"The name of a {kind} has a character that no file can have.")
        path = Path(source).expanduser()
        path = path if path.is_absolute() else self._folder / path
        try:
            exists = path.is_file()
        except OSError:  # a name that is too long, as content that lacks its head
            exists = False
        if not exists:
            raise RefusedError(f"{_short(source)} was not found.")
        return path

    def _written(self, data: str, kind: str, suffix: str) -> Path:
        """Content in base64 as a file, whole or not at all."""
        try:
            content = base64.b64decode("".join(data.split()), validate=True)
        except (binascii.Error, ValueError):
            raise RefusedError(f"The content of a {kind} is not in base64.") from None
        if not content:
            raise RefusedError(f"The content of a {kind} is empty.")
        path = self._inline / (hashlib.sha256(content).hexdigest() + suffix)
        if not path.is_file():
            self._inline.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=self._inline, suffix=".part")
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(part).replace(path)
        return path


def _suffix(name: str | None) -> str:
    """Of a media type or a format; empty where it tells nothing."""
    last = (name or "").rpartition("/")[2].lower()
    last = _SUFFIXES.get(last, last)
    return f".{last}" if _SUFFIX.fullmatch(last) else ""


def _short(source: str) -> str:
    return source if len(source) <= MOST_SHOWN else source[: MOST_SHOWN - 1] + "…"
