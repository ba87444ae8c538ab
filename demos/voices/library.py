"""Named voices on disk.

Knows: a folder with a folder for each voice, names, who may have a library that lasts.
Does not know: how a recording became a voice, archives, Gradio.

A voice's folder has a random name, so that no name that a person types ever becomes a path.
"""

from __future__ import annotations

import json
import logging
import secrets
import shutil
import threading
import unicodedata
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import platformdirs

from demos.base.given import whole_text
from omni.errors import VoiceError

log = logging.getLogger(__name__)

APP = "baichuan-omni-webui"
WAV, CARD = "voice.wav", "voice.json"
MAX_VOICES = 200
MAX_NAME = 60  # characters
MAX_TRANSCRIPT = 2000  # characters: 30 s of speech have a few hundred
_UNFINISHED = ".part-"  # begins the name of a folder that is not finished

Use: TypeAlias = Literal["system", "example"]
USES: tuple[Use, ...] = get_args(Use)
_lock = threading.RLock()  # one for all libraries: changes are rare and short


@dataclass(frozen=True)
class SavedVoice:
    """What is known about a voice: its name, what the recording says, how it is used."""

    name: str
    transcript: str = ""
    use: Use = "system"


@dataclass(frozen=True, eq=False)
class VoiceLibrary:
    """The voices below ``folder``, which is made when the first one is saved."""

    folder: Path

    def names(self) -> list[str]:
        """All names, in alphabetical order."""
        return sorted((voice.name for voice in self._cards().values()), key=str.casefold)

    def voices(self) -> list[tuple[SavedVoice, Path]]:
        """All voices with their sound files, by name."""
        found = [(voice, folder / WAV) for folder, voice in self._cards().items()]
        return sorted(found, key=lambda pair: pair[0].name.casefold())

    def get(self, name: str) -> tuple[SavedVoice, Path]:
        """A voice and its sound file.

        Raises:
            VoiceError: ``voice-gone``.
        """
        folder, voice = self._find(name)
        return voice, folder / WAV

    def save(self, voice: SavedVoice, wav: Path, replaces: str | None = None) -> SavedVoice:
        """Add a voice with a copy of its sound file; as it is now known.

        Args:
            replaces: the voice that goes for it, if there still is one of that name.

        Raises:
            VoiceError: ``voice-name-*``, ``voice-library-full``, ``voice-disk``.
        """
        with _lock:
            cards = self._cards()
            old = [path for path, card in cards.items() if replaces and _same(card.name, replaces)]
            for folder in old:
                del cards[folder]
            voice = replace(voice, name=clean_name(voice.name))
            _check_free(voice.name, cards)
            if len(cards) >= MAX_VOICES:
                raise VoiceError(
                    "voice-library-full",
                    "There are {count} voices already: delete some first.",
                    count=MAX_VOICES,
                )
            try:
                self._write(voice, wav)
                for folder in old:
                    shutil.rmtree(folder)
            except OSError as error:
                raise _disk(self.folder, error) from error
        return voice

    def free_name(self, name: str) -> str:
        """``name``, or with a number where that is taken."""
        name, taken = clean_name(name), {known.casefold() for known in self.names()}
        candidate, number = name, 2
        while candidate.casefold() in taken:
            ending = f" ({number})"
            candidate = name[: MAX_NAME - len(ending)] + ending
            number += 1
        return candidate

    def rename(self, old: str, new: str) -> str:
        """Give a voice another name; the name as it is now known.

        Raises:
            VoiceError: ``voice-gone``, ``voice-name-*``, ``voice-disk``.
        """
        with _lock:
            folder, voice = self._find(old)
            new = clean_name(new)
            others = {path: card for path, card in self._cards().items() if path != folder}
            _check_free(new, others)
            try:
                _write_card(folder, replace(voice, name=new))
            except OSError as error:
                raise _disk(self.folder, error) from error
        return new

    def delete(self, name: str) -> None:
        """Remove a voice for good.

        Raises:
            VoiceError: ``voice-gone``, ``voice-disk``.
        """
        with _lock:
            folder, _ = self._find(name)
            try:
                shutil.rmtree(folder)
            except OSError as error:
                raise _disk(self.folder, error) from error

    def _write(self, voice: SavedVoice, wav: Path) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = secrets.token_hex(8)
        unfinished = self.folder / f"{_UNFINISHED}{name}"
        unfinished.mkdir(mode=0o700)
        try:
            shutil.copyfile(wav, unfinished / WAV)
            _write_card(unfinished, voice)
            unfinished.rename(self.folder / name)  # whole or not at all
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def _find(self, name: str) -> tuple[Path, SavedVoice]:
        for folder, voice in self._cards().items():
            if _same(voice.name, name):
                return folder, voice
        raise VoiceError("voice-gone", "There is no voice {name} any more.", name=name)

    def _cards(self) -> dict[Path, SavedVoice]:
        """Every readable voice by its folder. A broken one is logged and left alone."""
        found = {}
        for card in self.folder.glob(f"*/{CARD}"):
            folder = card.parent
            if folder.name.startswith(_UNFINISHED) or not (folder / WAV).is_file():
                continue
            try:
                found[folder] = saved_voice(json.loads(card.read_text(encoding="utf-8-sig")))
            except (OSError, ValueError) as error:
                log.warning("the voice in %s cannot be read: %s", folder, error)
        return found


def owner_library() -> VoiceLibrary:
    """The library of the person whose account runs the program."""
    return VoiceLibrary(Path(platformdirs.user_data_dir(APP, appauthor=False)) / "voices")


def saved_voice(card: object) -> SavedVoice:
    """A voice's card, from JSON.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(card, dict):
        raise ValueError("not an object")
    name, use = card.get("name"), card.get("use", "system")
    transcript = card.get("transcript", "")
    if not isinstance(name, str) or not isinstance(transcript, str) or use not in USES:
        raise ValueError("name, transcript or use is missing or of another kind")
    if len(transcript) > MAX_TRANSCRIPT:
        raise ValueError("the transcript is too long")
    try:
        return SavedVoice(clean_name(whole_text(name)), whole_text(transcript), use)
    except VoiceError as error:
        raise ValueError(str(error)) from error


def clean_name(name: str) -> str:
    """A name without what cannot be seen.

    Raises:
        VoiceError: ``voice-name-empty``, ``voice-name-long``.
    """
    seen = (" " if letter.isspace() else letter for letter in unicodedata.normalize("NFC", name))
    visible = "".join(letter for letter in seen if unicodedata.category(letter)[0] != "C")
    name = " ".join(visible.split())
    if not name:
        raise VoiceError("voice-name-empty", "A voice needs a name: type one.")
    if len(name) > MAX_NAME:
        raise VoiceError(
            "voice-name-long",
            "A name may have {count} characters: type a shorter one.",
            count=MAX_NAME,
        )
    return name


def _same(name: str, other: str) -> bool:
    return name.strip().casefold() == other.strip().casefold()


def _check_free(name: str, cards: dict[Path, SavedVoice]) -> None:
    if any(_same(name, known.name) for known in cards.values()):
        raise VoiceError(
            "voice-name-taken",
            "There is a voice {name} already: choose another name, or delete that one first.",
            name=name,
        )


def _write_card(folder: Path, voice: SavedVoice) -> None:
    """Whole or not at all."""
    unfinished = folder / f"{_UNFINISHED}{secrets.token_hex(4)}"
    unfinished.write_text(json.dumps(asdict(voice), ensure_ascii=False, indent=2), encoding="utf-8")
    unfinished.replace(folder / CARD)


def _disk(folder: Path, error: OSError) -> VoiceError:
    return VoiceError(
        "voice-disk",
        "The voices in {folder} cannot be changed ({reason}): check the disk and its permissions.",
        folder=folder.name,
        reason=error.strerror or type(error).__name__,
    )
