"""Odd archives of conversations and voices, made of good ones, with what is right for each."""

from __future__ import annotations

import io
import json
import struct
import wave
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.corpus.outcomes import Case, Heard, Refused, refused, written
from tests.support.odd_files import EPS, flat_png
from tests.support.root import ROOT

BROKEN, LARGE = refused("import-broken"), refused("import-large")
READ = Heard()  # it is shown; what is in it has no transcript
VOICE = refused("voice-archive")
PICTURE = (ROOT / "examples" / "shapes.png").read_bytes()
SOUND = (ROOT / "examples" / "sentence_en.flac").read_bytes()
QUESTION = {"role": "user", "parts": [{"type": "text", "text": "What is it?"}]}
ANSWER = {"role": "assistant", "parts": [{"type": "text", "text": "a red star"}]}


def zipped(files: Mapping[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def talk(*messages: Any, files: Mapping[str, bytes] | None = None, **table: Any) -> bytes:
    """A conversation's archive."""
    whole = {"format": "omni-conversation", "version": 1, "messages": list(messages)} | table
    return zipped({"conversation.json": json.dumps(whole), **(files or {})})


def asked(kind: str, file: Any) -> dict[str, Any]:
    """A question with a file."""
    return {"role": "user", "parts": [{"type": kind, "file": file}]}


def shown(kind: str, name: str, content: bytes) -> bytes:
    """A conversation about one file."""
    return talk(asked(kind, name), ANSWER, files={name: content})


def linked() -> bytes:
    """An archive whose picture is a link to a file of the server."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        table = {"format": "omni-conversation", "version": 1}
        messages = [asked("image", "media/a.png"), ANSWER]
        archive.writestr("conversation.json", json.dumps(table | {"messages": messages}))
        link = zipfile.ZipInfo("media/a.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return target.getvalue()


def twice() -> bytes:
    """An archive with two files of one name."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for content in (b"{", json.dumps({"format": "omni-conversation", "version": 1})):
            archive.writestr("conversation.json", content)
    return target.getvalue()


def of_size(size: int) -> bytes:
    """An archive that says of its picture that it has so many bytes."""
    content = bytearray(shown("image", "a.png", PICTURE))
    for mark, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = content.rindex(mark)
        struct.pack_into("<I", content, at + place, size)
    return bytes(content)


def locked() -> bytes:
    """An archive that says that it has a password."""
    content = bytearray(talk(QUESTION, ANSWER))
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = content.index(mark)
        struct.pack_into("<H", content, at + place, 1)
    return bytes(content)


def deep(depth: int) -> bytes:
    return zipped({"conversation.json": "[" * depth + "]" * depth})


def wav(seconds: float, rate: int = 16_000, channels: int = 1) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        noise = np.random.default_rng(0).integers(-9000, 9000, round(seconds * rate) * channels)
        file.writeframes(noise.astype("<i2").tobytes())
    return target.getvalue()


def spoken() -> bytes:
    """Somebody who talks for six seconds, as a voice needs."""
    parts = []
    for name in ("sentence_en", "capital_en", "sentence_en"):
        samples, rate = soundfile.read(ROOT / "examples" / f"{name}.flac", dtype="int16")
        parts.append(samples)
    target = io.BytesIO()
    soundfile.write(target, np.concatenate(parts), rate, format="WAV")
    return target.getvalue()


def voices(*rows: Any, files: Mapping[str, bytes] | None = None, **table: Any) -> bytes:
    """An archive of voices."""
    whole = {"format": "omni-voices", "version": 1, "voices": list(rows)} | table
    return zipped({"voices.json": json.dumps(whole), **(files or {})})


def voice(name: Any = "Ann", file: Any = "voice-001.wav", **more: Any) -> dict[str, Any]:
    """A row of its table."""
    return {"name": name, "transcript": "", "use": "system", "file": file, **more}


def case(
    name: str, right: Heard | Refused, content: Callable[[], bytes] | bytes, ending: str = "zip"
) -> Case:
    """A file called ``name``."""

    def make(folder: Path) -> Path:
        data = content if isinstance(content, bytes) else content()
        return written(f"{name}.{ending}", data)(folder)

    return Case(name, make, right)


CONVERSATIONS = [
    case("good", READ, shown("image", "media/a.png", PICTURE)),
    case("good-sound", READ, shown("audio", "a.wav", SOUND)),
    case("empty-talk", READ, talk()),
    case("nothing", BROKEN, b""),
    case("words", BROKEN, b"no zip at all" * 50),
    case("picture", BROKEN, PICTURE),
    case("half", BROKEN, lambda: (whole := shown("image", "a.png", PICTURE))[: len(whole) // 2]),
    case("no-table", BROKEN, zipped({"a.txt": "a"})),
    case("table-is-a-list", BROKEN, zipped({"conversation.json": "[]"})),
    case("table-is-null", BROKEN, zipped({"conversation.json": "null"})),
    case("table-is-no-text", BROKEN, zipped({"conversation.json": b"\xff\xfe\x00"})),
    case("deep-table", BROKEN, lambda: deep(100_000)),
    case("other-format", BROKEN, talk(format="x")),
    case("newer", refused("import-version"), talk(version=2)),
    case("version-is-text", refused("import-version", "import-broken"), talk(version="1")),
    case("messages-are-text", refused("import-broken", "import-large"), talk(messages="abc")),
    case("messages-are-null", refused("import-broken", "import-large"), talk(messages=None)),
    case("many-messages", LARGE, lambda: talk(*[QUESTION, ANSWER] * 501)),
    case("a-message-is-text", BROKEN, talk("hello")),
    case("unknown-role", BROKEN, talk(QUESTION | {"role": "system"})),
    case("answer-first", BROKEN, talk(ANSWER)),
    case("unknown-part", BROKEN, talk({"role": "user", "parts": [{"type": "code", "text": "a"}]})),
    case("text-is-a-number", BROKEN, talk(QUESTION | {"parts": [{"type": "text", "text": 5}]})),
    case("answer-with-picture", BROKEN,
         talk(QUESTION, asked("image", "a") | {"role": "assistant"}, files={"a": PICTURE})),
    case("slip", READ, shown("image", "../../../../../../tmp/omni-slipped.png", PICTURE)),
    case("absolute", READ, shown("image", "/tmp/omni-slipped.png", PICTURE)),
    case("backslashes", READ, shown("image", "..\\..\\omni-slipped.png", PICTURE)),
    case("link", refused("image-unreadable"), linked),
    case("twice", BROKEN, twice),
    case("not-there", BROKEN, talk(asked("image", "gone.png"), ANSWER)),
    case("server-file", BROKEN, talk(asked("image", "/etc/passwd"), ANSWER)),
    case("file-is-null", BROKEN, talk(asked("image", None), ANSWER)),
    case("smaller-than-it-is", BROKEN, lambda: of_size(10)),
    case("larger-than-it-is", refused("import-broken", "import-large", "image-broken"),
         lambda: of_size(0x7FFFFFFF)),
    case("locked", BROKEN, locked),
    case("packed-otherwise", BROKEN,
         zipped({"conversation.json": json.dumps({"format": "x"})}, zipfile.ZIP_LZMA)),
    case("bomb", LARGE, lambda: shown("image", "a.png", bytes(900_000_000))),
    case("many-files", LARGE, lambda: zipped({f"{i}": "" for i in range(3000)})),
    case("table-bomb", LARGE, lambda: zipped({"conversation.json": b" " * 50_000_000})),
    case("words-as-picture", refused("image-unreadable"), shown("image", "a.png", b"no" * 99)),
    case("eps-as-picture", refused("image-unreadable"), shown("image", "a.png", EPS)),
    case("pixels", refused("image-too-large"),
         lambda: shown("image", "a.png", flat_png(9000, 9000, bits=1))),
    case("picture-as-sound", refused("audio-absent", "media-unreadable", "audio-unreadable"),
         shown("audio", "a.wav", PICTURE)),
    case("sound-as-clip", refused("video-absent", "media-unreadable"),
         shown("video", "a.mp4", SOUND)),
    case("empty-file", refused("media-empty"), shown("image", "a.png", b"")),
    case("odd-name", READ, shown("image", "\u202ea b\n你好😀.png", PICTURE)),
    case("long-name", READ, shown("image", "a" * 3000 + ".png", PICTURE)),
    case("surrogate", READ,
         talk({"role": "user", "parts": [{"type": "text", "text": "a \ud800 b"}]}, ANSWER)),
    case("html", READ, talk(
        {"role": "user", "parts": [{"type": "text", "text": "<img src=x onerror=alert(1)>"}]})),
]  # fmt: skip

VOICES = [
    case("good", READ, voices(voice(), files={"voice-001.wav": spoken()})),
    case("nothing", VOICE, b""),
    case("words", VOICE, b"no zip" * 50),
    case("no-table", VOICE, zipped({"a": "a"})),
    case("table-is-null", VOICE, zipped({"voices.json": "null"})),
    case("deep-table", VOICE, zipped({"voices.json": "[" * 100_000})),
    case("newer", VOICE, voices(voice(), version=2)),
    case("no-voices", VOICE, voices()),
    case("many-voices", VOICE, lambda: voices(*[voice(f"a{i}") for i in range(201)])),
    case("row-is-text", VOICE, voices("Ann")),
    case("name-is-null", VOICE, voices(voice(None))),
    case("name-is-a-path", READ, voices(voice("../../x"), files={"voice-001.wav": spoken()})),
    case("file-elsewhere", VOICE, voices(voice(file="/etc/passwd"))),
    case("file-slips", VOICE, voices(voice(file="../voice-001.wav"))),
    case("not-there", VOICE, voices(voice())),
    case("no-sound", VOICE, voices(voice(), files={"voice-001.wav": b"no sound"})),
    case("other-rate", VOICE, voices(voice(), files={"voice-001.wav": wav(5, 44_100)})),
    case("two-channels", VOICE, voices(voice(), files={"voice-001.wav": wav(5, channels=2)})),
    case("short", VOICE, voices(voice(), files={"voice-001.wav": wav(1)})),
    case("long", VOICE, lambda: voices(voice(), files={"voice-001.wav": wav(40)})),
    case("bomb", VOICE, lambda: voices(voice(), files={"voice-001.wav": bytes(200_000_000)})),
    case("conversation", VOICE, talk(QUESTION, ANSWER)),
    case(
        "surrogate",
        READ,
        voices(voice("An\ud800n", transcript="a\udfff"), files={"voice-001.wav": spoken()}),
    ),
    case("use-is-odd", VOICE, voices(voice(use="run"), files={"voice-001.wav": wav(5)})),
]
