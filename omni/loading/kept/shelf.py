"""Where kept weights lie, from which source each came, and whether they are still good.

Knows: the folder of the user's cache (or ``OMNI_KEPT``), the record beside each model, sources by
their files. Does not know: how weights are quantized, loading.

    <shelf>/<source>-4bit-bfloat16-<hash>/kept.json    the record; its age is that of the last use
    <shelf>/<source>-4bit-bfloat16-<hash>/model/       a checkpoint like any other
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import platformdirs

from omni.errors import CheckpointError
from omni.loading.checkpoint import Checkpoint
from omni.loading.kept import folders
from omni.loading.nano import APP_NAME

VARIABLE = "OMNI_KEPT"  # environment: the folder for kept weights
RECORD = "kept.json"
MODEL = "model"
RECIPE = 1  # raise it when other parts are quantized, or otherwise, so that all is made again
SLUG = 60  # letters of a source's name in the name of a folder

# ready; changed: the source has other files now; gone: there is no source any more; damaged: files
# are missing or of another size; writing: now; unfinished: its writer was killed
State: TypeAlias = Literal["ready", "changed", "gone", "damaged", "writing", "unfinished"]


@dataclass(frozen=True)
class Source:
    """What a checkpoint is, by its files: another size or time of one makes another source."""

    name: str  # as the person called it
    place: str  # its folder, without what is below a link
    # size in bytes and time of the last change in ns of each file, by name
    files: Mapping[str, tuple[int, int]]

    @classmethod
    def of(cls, checkpoint: Checkpoint, vocoder: Path) -> Source:
        """The source that ``checkpoint`` is now.

        Raises:
            CheckpointError: it lacks weights.
        """
        folder = checkpoint.folder
        texts = [path for path in folder.glob("*") if path.suffix in (".json", ".txt")]
        paths = {path.name: path for path in (*texts, *checkpoint.weight_files, vocoder)}
        files = {}
        for name, path in sorted(paths.items()):
            found = path.stat()  # of the file itself, also in the Hub's cache, which has links
            files[name] = (found.st_size, found.st_mtime_ns)
        return cls(checkpoint.name, str(folder.absolute()), files)


@dataclass(frozen=True)
class Record:
    """What ``kept.json`` says."""

    source: Source
    bits: str  # 8bit or 4bit
    dtype: str  # of what is precise
    vocoder: str  # the source's file
    files: Mapping[str, int]  # bytes of each file of the model
    made: str  # when, in ISO 8601
    recipe: int = RECIPE


@dataclass(frozen=True)
class Entry:
    """A folder on the shelf."""

    folder: Path  # with the record and the model
    state: State
    bytes: int  # on the disk
    used: float  # seconds since 1970, when it was last loaded or written
    record: Record | None  # None: it cannot be read

    @property
    def name(self) -> str:
        """By which ``omni cache rm`` removes it."""
        return self.folder.name

    @property
    def model(self) -> Path:
        """The checkpoint."""
        return self.folder / MODEL


def shelf() -> Path:
    """The folder for kept weights: ``OMNI_KEPT``, else one in the user's cache."""
    wanted = os.environ.get(VARIABLE)
    if wanted:
        return Path(wanted).expanduser().absolute()
    return platformdirs.user_cache_path(APP_NAME) / "kept"


def place_for(source: Source, bits: str, dtype: str) -> Path:
    """Where the weights of ``source`` are kept; the same for every version of its files."""
    place = Path(source.place)
    name = source.name if place.parent.name == "snapshots" else place.name
    slug = re.sub(r"[^\w.-]+", "--", name)[-SLUG:].strip("-.")
    key = hashlib.sha256(_lasting_place(source).encode()).hexdigest()[:8]
    return shelf() / f"{slug or 'model'}-{bits}-{dtype}-{key}"


def write_record(folder: Path, source: Source, bits: str, dtype: str, vocoder: Path) -> None:
    """The record of the model in ``folder``."""
    model = folder / MODEL
    record = Record(
        source=source,
        bits=bits,
        dtype=dtype,
        vocoder=str(vocoder.absolute()),
        files={path.name: path.stat().st_size for path in sorted(model.iterdir())},
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    text = json.dumps(asdict(record), indent=2, ensure_ascii=False)
    (folder / RECORD).write_text(f"{text}\n", encoding="utf-8")


def look(folder: Path, now: Source | None = None) -> Entry | None:
    """What is kept in ``folder``; None: nothing.

    Args:
        now: the source as it is; None: it is looked for where it was.
    """
    if not folder.is_dir():
        return None
    path = folder / RECORD
    record = _read(path)
    used = path.stat().st_mtime if path.is_file() else folder.stat().st_mtime
    return Entry(folder, _state(folder, record, now), folders.size(folder), used, record)


def entries() -> list[Entry]:
    """Everything on the shelf, the newest use first; also what is unfinished."""
    place = shelf()
    if not place.is_dir():
        return []
    found = [entry for path in place.iterdir() if (entry := _entry(path)) is not None]
    return sorted(found, key=lambda entry: -entry.used)


def touch(entry: Entry) -> None:
    """It is being used now."""
    try:
        os.utime(entry.folder / RECORD)
    except OSError:  # a shelf that others fill: the time of use stays as it is
        return


def remove(entry: Entry) -> None:
    """Take it off the shelf.

    Raises:
        ResourceError: ``kept-unwritable``.
    """
    try:
        folders.remove(entry.folder)
    except OSError as error:
        raise folders.of_the_disk(error, entry.folder) from error


def _entry(path: Path) -> Entry | None:
    if not path.is_dir():
        return None
    if not path.name.endswith(folders.UNFINISHED):
        return None if path.name.startswith(".") else look(path)
    target = path.with_name(path.name.removeprefix(".").removesuffix(folders.UNFINISHED))
    state: State = "writing" if folders.is_locked(target) else "unfinished"
    return Entry(path, state, folders.size(path), path.stat().st_mtime, None)


def _state(folder: Path, record: Record | None, now: Source | None) -> State:
    if record is None or record.recipe != RECIPE:
        return "damaged" if record is None else "changed"
    for name, size in record.files.items():
        path = folder / MODEL / name
        if not path.is_file() or path.stat().st_size != size:
            return "damaged"
    if now is None:
        place = Path(record.source.place)
        if not place.is_dir():
            return "gone"
        try:
            now = Source.of(Checkpoint(place, record.source.name), Path(record.vocoder))
        except (CheckpointError, OSError):
            return "gone"
    return "ready" if now.files == record.source.files else "changed"


def _read(path: Path) -> Record | None:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        source = values.pop("source")
        files = {name: (int(size), int(time)) for name, (size, time) in source["files"].items()}
        return Record(source=Source(source["name"], source["place"], files), **values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _lasting_place(source: Source) -> str:
    """Where a source is in all its versions: in the Hub's cache, without the one that is there."""
    place = Path(source.place)
    return str(place.parent.parent if place.parent.name == "snapshots" else place)
