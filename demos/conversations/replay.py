"""A conversation as one page to share: text, pictures and sounds in a single file of HTML.

Knows: the form of the page, how media stand inside it, what keeps it harmless.
Does not know: Gradio, sessions.

The page runs no code and asks for nothing: its policy forbids both, whatever a message holds, and
all that comes from a message is escaped. It opens by a double click, without a network.
"""

from __future__ import annotations

import base64
import html
import mimetypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO

from demos.base.given import whole_text
from demos.base.languages import Words
from demos.base.word_files import PageLanguage
from demos.turns.chat import Entry, Thread
from omni.conversation import Image, Video
from omni.shipped import ASSETS

MOST_BYTES = 50_000_000  # of media, as files; a page of more opens slowly, and no mail takes it
TITLE_CHARACTERS = 80
_BLOCK = 3 * 2**18  # bytes that are encoded at once: no padding inside
_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"

STYLE = ASSETS / "replay.css"


@dataclass
class Replay:
    """Writes one page."""

    words: Words
    language: PageLanguage
    out: TextIO
    most: int = MOST_BYTES
    left_out: list[str] = field(default_factory=list)  # names of files that were too much
    _media: int = 0  # bytes so far

    def write(self, thread: Thread, when: str) -> None:
        """The whole page; ``when``: its day, for people."""
        say, put = self._say, self.out.write
        entries = [entry for entry in thread.entries if not entry.failed]
        locale = self.words.locales().get(self.language, self.language)
        title = html.escape(title_of(thread) or say("replay-untitled"))
        style = STYLE.read_text(encoding="utf-8")
        put(
            f'<!doctype html>\n<html lang="{html.escape(locale)}">\n<head>\n'
            '<meta charset="utf-8">\n'
        )
        put(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n')
        put('<meta name="viewport" content="width=device-width, initial-scale=1">\n')
        put('<meta name="referrer" content="no-referrer">\n')
        put(f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n")
        put(f"<header>\n<h1>{title}</h1>\n<p>{html.escape(say('replay-made', when=when))}</p>\n")
        put("</header>\n<main>\n<ol>\n")
        for entry in entries:
            for piece in self._entry(entry):
                put(piece)
        put("</ol>\n</main>\n")
        if self.left_out:
            megabytes = self.most // 1_000_000
            told = say("replay-short", count=len(self.left_out), megabytes=megabytes)
            put(f"<footer><p>{html.escape(told)}</p></footer>\n")
        put("</body>\n</html>\n")

    def _entry(self, entry: Entry) -> Iterator[str]:
        role = entry.message.role
        yield f'<li class="{role}">\n<h2>{html.escape(self._say(f"replay-{role}"))}</h2>\n'
        if role == "user":
            for file in entry.media:
                yield from self._medium(file, _form(entry, file))
        if entry.text.strip():
            # The name of a direction for each text: one in Arabic keeps its own.
            yield f'<p class="text" dir="auto">{_safe(entry.text.strip())}</p>\n'
        if entry.sound is not None:
            yield from self._medium(entry.sound, "audio")
        if entry.note:
            yield f'<p class="note">{_safe(entry.note)}</p>\n'
        yield "</li>\n"

    def _medium(self, file: Path, form: str) -> Iterator[str]:
        name = _safe(file.name)
        size = file.stat().st_size if file.exists() else None
        if size is None or self._media + size > self.most:
            self.left_out.append(file.name)
            yield f'<p class="note">{_safe(self._say("replay-left-out", name=file.name))}</p>\n'
            return
        self._media += size
        source = f"data:{_type(file, form)};base64,"
        caption = f"<figcaption>{name}</figcaption>"
        if form == "image":
            yield f'<figure><img alt="{name}" src="{source}'
        else:
            yield f'<figure><{form} controls preload="metadata" aria-label="{name}" src="{source}'
        yield from _encoded(file)
        yield '">' + ("" if form == "image" else f"</{form}>") + f"{caption}</figure>\n"

    def _say(self, key: str, **values: object) -> str:
        return self.words.say(self.language, key, **values)


def write_replay(
    thread: Thread, path: Path, words: Words, language: PageLanguage, when: str
) -> list[str]:
    """Write the page of ``thread`` to ``path``; the names of files that were left out.

    Raises:
        OSError: a file cannot be read, or the page not be written.
    """
    with path.open("w", encoding="utf-8", newline="\n") as out:
        replay = Replay(words, language, out)
        replay.write(thread, when)
    return replay.left_out


def replay_bytes(thread: Thread) -> int:
    """About how large the page of ``thread`` becomes."""
    media = sum(file.stat().st_size for file in thread.files() if file.exists())
    return min(media, MOST_BYTES) * 4 // 3 + sum(len(entry.text) * 6 for entry in thread.entries)


def title_of(thread: Thread) -> str:
    """The first words that the person typed or was heard to say, else of an answer; "": none."""
    asked = [entry for entry in thread.entries if entry.message.role == "user"]
    texts = [entry.text for entry in asked] + [entry.heard for entry in asked]
    for text in (*texts, *(entry.text for entry in thread.entries)):
        line = " ".join(whole_text(text).split())
        if line:
            return line if len(line) <= TITLE_CHARACTERS else line[: TITLE_CHARACTERS - 1] + "…"
    return ""


def _form(entry: Entry, file: Path) -> str:
    """The element that shows a file of ``entry``."""
    kinds: Callable[[object], bool] = partial(_is_at, file=file)
    found = next(part for part in entry.message.parts if kinds(part))
    if isinstance(found, Image):
        return "image"
    return "video" if isinstance(found, Video) else "audio"


def _is_at(part: object, file: Path) -> bool:
    return getattr(part, "path", None) == file


def _type(file: Path, form: str) -> str:
    """The MIME type: of the kind that it is shown as, whatever the name says."""
    guessed = mimetypes.guess_type(file.name)[0] or ""
    plain = {"image": "image/png", "audio": "audio/wav", "video": "video/mp4"}
    return guessed if guessed.startswith(f"{form}/") else plain[form]


def _encoded(file: Path) -> Iterator[str]:
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            yield base64.b64encode(block).decode("ascii")


def _safe(text: str) -> str:
    """Text for HTML, also for attributes; half characters, which no file can hold, replaced."""
    return html.escape(whole_text(text), quote=True)
