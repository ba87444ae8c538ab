"""A small process that speaks for another one: every utterance in a fork of a fresh espeak-ng.

Knows: the C interface of libespeak-ng. Does not know: the project; it imports nothing of it and
no array library, so that forking it costs little.

Why forks: espeak-ng carries phases and noise over from one utterance to the next, so in one
process the same request never sounds the same twice. A fork from the state after initialization
gives the sound of a fresh process, in a third of its time. Forking the training process itself
would copy its threads and devices.

Protocol: a JSON object a line on standard input; on standard output a header of 12 bytes
(status, bytes of data, bytes of sounds), then the data, PCM (int16, the rate of the greeting) or a
message in UTF-8, and the sounds: a JSON list of [ms from the start, phoneme in espeak's notation,
place in the text of its word or Hanzi, in characters from 0]. The first answer, a JSON greeting,
comes unasked.

A request may bring the file of its variant along: espeak-ng reads a folder of links to its own
data, to which such files are added. The folder is removed when the input ends.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import shutil
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

HEADER = "<III"
OK, FAILED, MISSING = 0, 1, 2
_NAMES = ("libespeak-ng.so.1", "libespeak-ng.1.dylib", "/opt/homebrew/lib/libespeak-ng.1.dylib")
_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS
_UTF8 = 1  # espeakCHARS_UTF8
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}
_PHONEME_EVENTS = 1  # espeakINITIALIZE_PHONEME_EVENTS: they do not change the sound
_NO_MORE_EVENTS, _PHONEME_EVENT = 0, 7  # espeak_EVENT_TYPE


class _EventId(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    )


class _Event(ctypes.Structure):
    """espeak_EVENT."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Speaker:
    """One initialized espeak-ng.

    Args:
        folder: an empty one, for links to espeak-ng's data and for variants that are brought along.

    Raises:
        OSError: the library or its data are not there.
    """

    def __init__(self, folder: Path) -> None:
        self._library = _load()
        self._variants = _link_data(_data_path(self._library), folder)
        path = str(folder).encode()
        self.rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, path, _PHONEME_EVENTS)  # Hz
        if self.rate <= 0:
            raise OSError("espeak-ng does not find its data")
        self.version = _information(self._library)[0]
        self._pieces: list[bytes] = []
        self._sounds: list[tuple[int, str, int]] = []
        self._callback = _CALLBACK(self._take)  # kept: the library holds a bare pointer
        self._library.espeak_SetSynthCallback(self._callback)
        synth = self._library.espeak_Synth
        synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]

    def speak(self, request: dict[str, Any]) -> tuple[bytes, list[tuple[int, str, int]]]:
        """PCM and sounds of a request: ``text``, ``voice``, ``rate``, ``pitch``, ``range``.

        ``variant_file``: the text of the voice's variant, if it is none of espeak-ng's own.

        Raises:
            ValueError: there is no such voice, or it says nothing.
        """
        file = request.get("variant_file")
        if file is None:
            return self._speak(request)
        # Only while it is needed: espeak-ng lists every file there at each voice, 350 at most.
        path = self._variants / request["voice"].partition("+")[2]
        path.write_text(file)
        try:
            return self._speak(request)
        finally:
            path.unlink()

    def _speak(self, request: dict[str, Any]) -> tuple[bytes, list[tuple[int, str, int]]]:
        self._pieces.clear()
        self._sounds.clear()
        voice = request["voice"]
        _, _, variant = voice.partition("+")
        # The library takes an unknown variant for none, without a word.
        if variant and not (self._variants / variant).is_file():
            raise ValueError(f"espeak-ng has no voice {voice}")
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice}")
        for name, number in _PARAMETERS.items():
            if name in request and self._library.espeak_SetParameter(number, request[name], 0):
                raise ValueError(f"espeak-ng refuses {name} {request[name]}")
        text = request["text"].encode()
        if self._library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8, None, None) != 0:
            raise ValueError("espeak-ng could not speak")
        return b"".join(self._pieces), self._sounds

    def _take(self, wave: Any, samples: int, events: Any) -> int:
        place = 0
        while events and events[place].type != _NO_MORE_EVENTS:
            event = events[place]
            if event.type == _PHONEME_EVENT:
                name = event.id.string.decode("utf-8", "replace")
                self._sounds.append((event.audio_position, name, event.text_position - 1))
            place += 1
        if wave and samples > 0:
            self._pieces.append(ctypes.string_at(wave, 2 * samples))
        return 0


def _load() -> Any:
    found = ctypes.util.find_library("espeak-ng")
    for name in (found, *_NAMES):
        try:
            if name:
                return ctypes.CDLL(name)
        except OSError:
            continue
    raise OSError("libespeak-ng is not installed")


def _information(library: Any) -> tuple[str, str]:
    """The version and the folder of the data of an initialized library."""
    info = library.espeak_Info
    info.restype = ctypes.c_char_p
    data = ctypes.c_char_p()
    version = info(ctypes.byref(data))
    return version.decode(), (data.value or b"").decode()


def _data_path(library: Any) -> Path:
    """Where espeak-ng finds its data; asked in a fork: this process's library stays fresh."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS) > 0:
            os.write(writing, _information(library)[1].encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        found = pipe.read().decode()
    os.waitpid(child, 0)
    if not found:
        raise OSError("espeak-ng does not find its data")
    return Path(found)


def _link_data(data: Path, folder: Path) -> Path:
    """Link everything of ``data`` into ``folder``; the folder of variants, to which one can add."""
    linked = folder / data.name
    variants = linked / "voices" / "!v"
    variants.mkdir(parents=True)
    voices = data / "voices"
    for own, its in ((linked, data), (variants.parent, voices), (variants, voices / "!v")):
        for entry in its.iterdir():
            if not (own / entry.name).exists():
                (own / entry.name).symlink_to(entry)
    return variants


def _answer(status: int, data: bytes, sounds: bytes = b"") -> None:
    out = sys.stdout.buffer
    out.write(struct.pack(HEADER, status, len(data), len(sounds)) + data + sounds)
    out.flush()


def _speak_in_fork(speaker: Speaker, line: str) -> None:
    child = os.fork()
    if child == 0:
        try:
            pcm, sounds = speaker.speak(json.loads(line))
            _answer(OK, pcm, json.dumps(sounds).encode())
        except Exception as error:  # whatever it is, the caller is told
            _answer(FAILED, str(error).encode())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status != 0:
        _answer(FAILED, f"espeak-ng died of signal {status & 127}".encode())


def main() -> None:
    """Greet, then answer until the input ends."""
    folder = Path(tempfile.mkdtemp(prefix="espeak-"))
    try:
        _serve(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(folder: Path) -> None:
    try:
        speaker = Speaker(folder)
    except OSError as error:
        _answer(MISSING, str(error).encode())
        return
    greeting = {"rate": speaker.rate, "version": speaker.version}
    _answer(OK, json.dumps(greeting).encode())
    for line in sys.stdin:
        _speak_in_fork(speaker, line)


if __name__ == "__main__":
    main()
