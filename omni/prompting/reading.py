"""A text to the pieces in which it is read aloud.

Knows: where a voice may pause. Does not know: tokens, speech.
"""

from __future__ import annotations

import re

MIN_CHARACTERS = 10  # a piece has more, the last one excepted
MAX_CHARACTERS = 200  # ours: a longer piece may not fit into the speech call's limit (56 s)
_PAUSE = re.compile("(?<=[:,;!?、，。；：！？])")
_FULL_STOP = re.compile(r"(?<=[.\n…])(?=\s)|(?<=\n)")
_SPACE = re.compile(r"(?<=\s)")


def reading_pieces(text: str) -> list[str]:
    """Split as the published reader does, and once more where a piece would be too long.

    After each of ``:,;!?、，。；：！？``, short pieces joined until they have more than
    MIN_CHARACTERS. A piece longer than MAX_CHARACTERS (the published rule knows no full stop of
    Latin script) is split after full stops and lines, then at spaces, then anywhere. Nothing of
    the text is lost but blank space at the end.
    """
    pieces = []
    for piece in _joined(_PAUSE.split(text), MIN_CHARACTERS + 1):
        pieces.extend(_shortened(piece))
    return [piece for piece in pieces if piece.strip()]


def _joined(parts: list[str], enough: int) -> list[str]:
    """Parts put together until each has ``enough`` characters; the last may have fewer."""
    joined, piece = [], ""
    for part in parts:
        piece += part
        if len(piece) >= enough:
            joined.append(piece)
            piece = ""
    return [*joined, piece] if piece else joined


def _shortened(piece: str) -> list[str]:
    for place in (_FULL_STOP, _SPACE):
        if len(piece) <= MAX_CHARACTERS:
            return [piece]
        parts = _filled(place.split(piece))
        if len(parts) > 1:
            return [short for part in parts for short in _shortened(part)]
    return [piece[i : i + MAX_CHARACTERS] for i in range(0, len(piece), MAX_CHARACTERS)]


def _filled(parts: list[str]) -> list[str]:
    """Neighbours put together as long as they stay within MAX_CHARACTERS."""
    filled: list[str] = []
    for part in parts:
        if filled and len(filled[-1]) + len(part) <= MAX_CHARACTERS:
            filled[-1] += part
        else:
            filled.append(part)
    return filled
