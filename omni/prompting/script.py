"""A text for several voices: lines that begin with a voice's name and a colon.

    Anna: Good morning!
    Ben: Good morning. How are you?

Knows: how such a text is written. Does not know: which voices there are, how anything is read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from omni.errors import ConversationError, VoiceError

# A name holds no mark that ends a clause; an address ("https://") and a time ("12:30") are none.
_LABEL = re.compile(r"^\s*([^:：,.;!?，。；！？]{1,60}?)\s*[:：](?!//)\s*(.*)$")


@dataclass(frozen=True)
class ScriptLine:
    """What one voice says without a break."""

    name: str  # of the voice, as it is known; empty: nobody is named
    text: str  # what it says


def is_script(text: str, names: Iterable[str]) -> bool:
    """Whether a line of ``text`` begins with one of ``names`` and a colon."""
    known = {_folded(name) for name in names}
    return any(_folded(label) in known for label, _ in map(_parted, text.splitlines()) if label)


def script_lines(
    text: str, names: Iterable[str], told: Iterable[str] | None = None
) -> tuple[ScriptLine, ...]:
    """The lines of a script, each with its voice's name as it stands in ``names``.

    Letter case does not count, and a colon of either width does. A line without a name belongs to
    the one before it; before the first name nobody is named.

    Args:
        told: those of ``names`` that a refusal lists; None: all.

    Raises:
        VoiceError: ``voice-unknown``, a line begins with a name that is none of ``names``.
        ConversationError: ``nothing-to-read``.
    """
    names = tuple(names)
    known = {_folded(name): name for name in names}
    found: list[ScriptLine] = []
    for line in text.splitlines():
        label, said = _parted(line)
        if not said.strip():
            continue
        if label:
            if _folded(label) not in known:
                raise unknown_voice(label, names if told is None else told)
            found.append(ScriptLine(known[_folded(label)], said))
        elif found:
            found[-1] = ScriptLine(found[-1].name, f"{found[-1].text}\n{said}")
        else:
            found.append(ScriptLine("", said))
    if not found:
        raise ConversationError("nothing-to-read", "There is no text to read aloud: type some.")
    return tuple(found)


def unknown_voice(name: str, names: Iterable[str]) -> VoiceError:
    """The refusal of a name that no voice has."""
    return VoiceError(
        "voice-unknown",
        "There is no voice called {name}. The voices here are: {known}.",
        name=name.strip(),
        known=", ".join(names),
    )


def _parted(line: str) -> tuple[str, str]:
    """The name before a line's colon, empty if there is none, and the rest."""
    found = _LABEL.match(line)
    if found is None or found[1].strip().isdigit():
        return "", line.strip()
    return found[1].strip(), found[2].strip()


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
