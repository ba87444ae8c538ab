"""Voices in a zip file, to keep or to take elsewhere.

Knows: the archive's form; an archive from anywhere is read without trust: only the files that its
table names, by fixed names, with limits, never unpacked to a path that it chooses.
Does not know: how voices are kept, how a zip is kept within bounds (demos.turns.unpacking).
"""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from demos.turns.unpacking import BoundedZip, TooLarge, ZipBounds, open_zip
from demos.voices.library import MAX_VOICES, SavedVoice, VoiceLibrary, saved_voice
from omni.errors import VoiceError
from omni.listening.reference_check import (
    MAX_SECONDS,
    MIN_SECONDS,
    RATE,
    VoiceSample,
    check_again,
)

FORM, VERSION, TABLE = "omni-voices", 1, "voices.json"
MAX_ARCHIVE = 300_000_000  # bytes
MAX_NAMES = 2 * MAX_VOICES + 50  # of files in it; more than the voices if it was packed again
MAX_UNPACKED_S = 30.0  # of the clock
MAX_TABLE = 2_000_000  # bytes, unpacked
MAX_WAV = round(MAX_SECONDS * RATE) * 2 + 4096  # bytes, unpacked: 16 bits a sample and a header
STEP = 2 / 2**15  # of full scale; what writing and reading a sample may change
BOUNDS = ZipBounds(MAX_NAMES, MAX_ARCHIVE, MAX_WAV, MAX_UNPACKED_S)
_NUMBER = re.compile(r" \(\d+\)$")  # behind a name that was taken
_WAV_NAME = re.compile(r"voice-\d{3}\.wav")
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


def export_voices(library: VoiceLibrary, path: Path) -> None:
    """Write all voices into a zip file.

    Raises:
        VoiceError: ``voice-library-empty``.
        OSError: the file cannot be written.
    """
    voices = library.voices()
    if not voices:
        raise VoiceError("voice-library-empty", "There are no saved voices yet: save one first.")
    names = [f"voice-{number:03d}.wav" for number in range(1, len(voices) + 1)]
    table = [
        {**asdict(voice), "file": name} for (voice, _), name in zip(voices, names, strict=True)
    ]
    content = {"format": FORM, "version": VERSION, "voices": table}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(TABLE, json.dumps(content, ensure_ascii=False, indent=2))
        for (_, wav), name in zip(voices, names, strict=True):
            archive.write(wav, name)


def check_archive(path: Path) -> None:
    """Refuse what is no archive, or one that is too large, by its size and its zip's table.

    Raises:
        VoiceError: ``voice-archive``.
    """
    with _told(), open_zip(path, BOUNDS):
        pass


def import_voices(library: VoiceLibrary, path: Path) -> list[str]:
    """Add an archive's voices, all or none; their names (numbered where one is taken).

    Voices that are there already are left out.

    Raises:
        VoiceError: ``voice-archive``, ``voice-archive-refused``, ``voice-library-full``,
            ``voice-disk``, ``voice-busy``.
    """
    known = [(voice, _samples(wav.read_bytes(), wav.name)) for voice, wav in library.voices()]
    voices = [pair for pair in _read(path) if not any(_same(pair, one) for one in known)]
    for voice, sample in voices:
        _check(voice.name, sample.samples)
    if len(library.names()) + len(voices) > MAX_VOICES:
        raise VoiceError(
            "voice-library-full",
            "There are {count} voices already: delete some first.",
            count=MAX_VOICES,
        )
    saved: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "voice.wav"
        try:
            for voice, sample in voices:
                sample.save(wav)
                named = SavedVoice(library.free_name(voice.name), voice.transcript, voice.use)
                saved.append(library.save(named, wav).name)
        except BaseException:
            for name in saved:
                library.delete(name)
            raise
    return saved


def _same(given: tuple[SavedVoice, VoiceSample], known: tuple[SavedVoice, np.ndarray]) -> bool:
    """Whether two voices are the same, but for a number behind the name."""
    (voice, sample), (other, samples) = given, known
    alike = _told_by(voice) == _told_by(other) and sample.samples.size == samples.size
    return alike and bool(np.abs(sample.samples - samples).max() < STEP)


def _told_by(voice: SavedVoice) -> tuple[str, str, str]:
    return _NUMBER.sub("", voice.name).casefold(), voice.transcript, voice.use


def _check(name: str, samples: np.ndarray) -> None:
    """Refuse what would be refused as a new recording, too."""
    try:
        check_again(samples)
    except VoiceError as error:
        if error.code == "voice-busy":
            raise
        raise VoiceError(
            "voice-archive-refused",
            "The voice {name} of this file cannot be used, and nothing was added. {reason}",
            name=name,
            reason=error,
        ) from error


def _read(path: Path) -> list[tuple[SavedVoice, VoiceSample]]:
    """Everything in an archive, checked."""
    with _told(), open_zip(path, BOUNDS) as archive:
        table = json.loads(_member(archive, TABLE, MAX_TABLE).decode("utf-8-sig"))
        return [_voice(archive, row) for row in _rows(table)]


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with an archive as one sentence."""
    try:
        yield
    except TooLarge as error:
        raise _refused(f"more than {MAX_ARCHIVE // 1_000_000} MB would come out of it") from error
    except _BROKEN as error:
        raise _refused("it is no zip file, or damaged") from error
    except (ValueError, RecursionError) as error:  # JSON and text errors are ValueErrors
        raise _refused(f"{TABLE}: {error}") from error


def _rows(table: Any) -> Sequence[Any]:
    if not isinstance(table, dict) or table.get("format") != FORM:
        raise ValueError("not a table of voices")
    if table.get("version") != VERSION:
        raise ValueError(f"version {table.get('version')}, and this program reads {VERSION}")
    rows = table.get("voices")
    if not isinstance(rows, list) or not 0 < len(rows) <= MAX_VOICES:
        raise ValueError(f"1 to {MAX_VOICES} voices are expected")
    return rows


def _voice(archive: BoundedZip, row: Any) -> tuple[SavedVoice, VoiceSample]:
    voice = saved_voice(row)
    name = row.get("file")
    if not isinstance(name, str) or not _WAV_NAME.fullmatch(name):
        raise ValueError(f"{voice.name} has no sound file")
    samples = _samples(_member(archive, name, MAX_WAV), name)
    return voice, VoiceSample(samples, samples.size / RATE)


def _samples(content: bytes, name: str) -> np.ndarray:
    """float32 (samples,) of a wav file as this program writes them."""
    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{name} is no sound file") from error
    if rate != RATE or samples.ndim != 1:
        raise ValueError(f"{name} does not have one channel of {RATE} Hz")
    if not MIN_SECONDS <= samples.size / RATE <= MAX_SECONDS or not np.isfinite(samples).all():
        raise ValueError(f"{name} does not have {MIN_SECONDS:.0f} to {MAX_SECONDS:.0f} s of sound")
    return samples


def _member(archive: BoundedZip, name: str, limit: int) -> bytes:
    """A member's content; not more than ``limit`` bytes are ever unpacked."""
    try:
        return archive.read(name, limit)
    except KeyError as error:
        raise ValueError(f"{name} is missing") from error


def _refused(reason: str) -> VoiceError:
    return VoiceError(
        "voice-archive",
        "This is not a file of voices that was exported here ({reason}).",
        reason=reason,
    )
