"""The tables of roles and of voices that the model knows by name.

Knows: assets/roles.yaml, assets/voices.yaml and the files of the same names in the person's own
configuration folder, which add entries or replace those with the same id or name.
Does not know: Gradio, how a choice becomes a prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
import yaml

from demos.base.word_files import ENGLISH, PROMPT_LANGUAGES, page_languages
from demos.voices.library import APP
from omni.errors import VoiceError
from omni.prompting.styles import EMOTION_NAMES, EmotionName, StyleName
from omni.shipped import ASSETS

ROLES, VOICES = "roles.yaml", "voices.yaml"
MAX_FILE = 1_000_000  # bytes
MAX_TEXT = 4000  # characters
SPEEDS: tuple[StyleName, ...] = ("slow", "fast")
PITCHES: tuple[StyleName, ...] = ("low", "high")
LOUDNESSES: tuple[StyleName, ...] = ("soft", "loud")
_STYLE_KEYS = {"speed": SPEEDS, "pitch": PITCHES, "loudness": LOUDNESSES}


@dataclass(frozen=True)
class Role:
    """A role: who the assistant is, and with which voice it speaks.

    In the tables a named voice stands under the key voice and a saved one under recording.
    """

    id: str
    label: Mapping[str, str]  # by language of the page
    text: Mapping[str, str]  # by language of the prompt
    named_voice: str | None = None  # the name of a voice that the model knows; None: as it is
    saved_voice: str | None = None  # the name of a voice that was saved; None: as it is
    emotion: EmotionName | None = None
    style: Mapping[str, StyleName] = field(default_factory=dict)  # of speed, pitch, loudness


@dataclass(frozen=True)
class NamedVoice:
    """A voice by the name that the model knows.

    ``documented``: the model's publishers name it; otherwise somebody added it to try.
    """

    name: str
    label: Mapping[str, str]  # by language of the page
    documented: bool = False


@dataclass(frozen=True)
class Catalog:
    """Roles by id and voices by name. ``problems``: entries that were left out, and why."""

    roles: Mapping[str, Role]
    voices: Mapping[str, NamedVoice]
    problems: tuple[VoiceError, ...] = ()


def config_folder() -> Path:
    """Where a person's own roles.yaml and voices.yaml may lie."""
    return Path(platformdirs.user_config_dir(APP, appauthor=False))


def read_catalog(folders: Iterable[Path] | None = None) -> Catalog:
    """The tables of ``folders``, later ones first in rank; None: ours and the person's own.

    A wrong entry is left out and told in ``problems``; it never stops the program.
    """
    roles: dict[str, Role] = {}
    voices: dict[str, NamedVoice] = {}
    problems: list[VoiceError] = []
    for folder in folders if folders is not None else (ASSETS, config_folder()):
        for number, entry in _entries(folder / ROLES, "roles", problems):
            try:
                role = _role(entry)
                roles[role.id] = role
            except ValueError as error:
                problems.append(_problem(folder / ROLES, _title(number, entry, "id"), error))
        for number, entry in _entries(folder / VOICES, "voices", problems):
            try:
                voice = _named_voice(entry)
                voices[voice.name] = voice
            except ValueError as error:
                problems.append(_problem(folder / VOICES, _title(number, entry, "name"), error))
    return Catalog(roles, voices, tuple(problems))


def _entries(path: Path, key: str, problems: list[VoiceError]) -> list[tuple[int, Any]]:
    """The numbered entries of one file; none if there is no such file."""
    try:
        if not path.exists():
            return []
        if path.stat().st_size > MAX_FILE:
            raise ValueError("the file is too large")
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
        if table is None:
            return []
        if not isinstance(table, dict) or set(table) != {key} or not isinstance(table[key], list):
            raise ValueError(f"a list under the one key {key} is expected")
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        problems.append(_problem(path, key, error))
        return []
    return list(enumerate(table[key], 1))


def _role(entry: Any) -> Role:
    _check_keys(entry, {"id", "label", "text"}, {"voice", "recording", "emotion", *_STYLE_KEYS})
    emotion = entry.get("emotion")
    if emotion is not None and emotion not in EMOTION_NAMES:
        raise ValueError(f"emotion must be one of {', '.join(EMOTION_NAMES)}")
    style = {}
    for key, known in _STYLE_KEYS.items():
        value = entry.get(key)
        if value is not None and value not in known:
            raise ValueError(f"{key} must be one of {', '.join(known)}")
        if value is not None:
            style[key] = value
    return Role(
        _word(entry, "id"),
        _texts(entry, "label", page_languages()),
        _texts(entry, "text", PROMPT_LANGUAGES),
        _word(entry, "voice") if "voice" in entry else None,
        _word(entry, "recording") if "recording" in entry else None,
        emotion,
        style,
    )


def _named_voice(entry: Any) -> NamedVoice:
    _check_keys(entry, {"name"}, {"label", "documented"})
    name = _word(entry, "name")
    if any(mark in name for mark in "【】"):
        raise ValueError("name is written without 【】")
    label = _texts(entry, "label", page_languages()) if "label" in entry else {ENGLISH: name}
    documented = entry.get("documented", False)
    if not isinstance(documented, bool):
        raise ValueError("documented must be true or false")
    return NamedVoice(name, label, documented)


def _check_keys(entry: Any, needed: set[str], possible: set[str]) -> None:
    if not isinstance(entry, dict):
        raise ValueError(f"the keys {', '.join(sorted(needed))} are expected")
    if missing := sorted(needed - set(entry)):
        raise ValueError(f"{', '.join(missing)} is missing")
    if unknown := sorted(str(key) for key in set(entry) - needed - possible):
        raise ValueError(f"{', '.join(unknown)} is not known")


def _word(entry: Mapping[str, Any], key: str) -> str:
    value = entry[key]
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
        raise ValueError(f"{key} must be a text (in quotation marks, if it looks like a number)")
    return value.strip()


def _texts(entry: Mapping[str, Any], key: str, languages: Sequence[str]) -> dict[str, str]:
    """A text by language; a text without a language stands for all (see in_language)."""
    value = entry[key]
    if isinstance(value, str):
        return {ENGLISH: _word(entry, key)}
    if not isinstance(value, dict) or not value or not set(value) <= set(languages):
        raise ValueError(f"{key} must be a text, or texts under {' and '.join(languages)}")
    return {language: _word(value, language) for language in value}


def _title(number: int, entry: Any, key: str) -> str:
    known = entry.get(key) if isinstance(entry, dict) else None
    return f"{number} ({known})" if isinstance(known, str) else str(number)


def _problem(path: Path, entry: str, error: Exception) -> VoiceError:
    return VoiceError(
        "catalog-entry",
        "{path}, entry {entry}, was left out: {reason}.",
        path=path,
        entry=entry,
        reason=" ".join(str(error).split()),
    )
