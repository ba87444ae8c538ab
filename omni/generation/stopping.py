"""Where a text call pauses so that what was written can be spoken.

Knows: the text of the call as it grows, and the stop texts of the options. Does not know: the
model, the sampling, the ids that end a call by themselves (the mark that starts speech, the end
of text): :mod:`omni.generation.loop` handles those.

Two rules with one interface. After each token that is taken, ``after`` says whether to pause
there; before the next token is taken, ``before`` is shown its text and may pause in front of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Protocol


class PauseRule(Protocol):
    """Decides where a text call pauses."""

    def begin(self, context: str) -> None:
        """A new call; ``context`` is the end of what stands before it, special tokens included."""

    def before(self, piece: str) -> bool:
        """Whether to pause in front of the next token, whose text is ``piece``."""

    def after(self, piece: str, text: str) -> bool:
        """Whether to pause behind the token just taken.

        Args:
            piece: the token's own text; bytes that are no whole character are U+FFFD.
            text: the whole characters that the token completed.
        """


class StopStrings:
    """The published rule (that of transformers): a stop text ends inside the last token.

    The last token may overhang (". " stops at "." + " Smith"), the stop text may begin in the
    context, and tokens are spelled one by one: a character made of two tokens never matches.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._reach = max(map(len, self._stops), default=1) - 1
        self._tail = ""

    def begin(self, context: str) -> None:
        """Remember as much of the context as a stop text may begin in."""
        self._tail = context[-self._reach :] if self._reach else ""

    def before(self, piece: str) -> bool:
        """Never: an end is known only behind its token."""
        return False

    def after(self, piece: str, text: str) -> bool:
        """Whether a stop text ends inside this token."""
        known = len(self._tail)
        spelled = self._tail + piece
        self.begin(spelled)
        # An end inside the last token: the match starts no earlier than its length allows.
        return any(spelled.find(stop, max(0, known + 1 - len(stop))) != -1 for stop in self._stops)


# Belongs to the piece before it, and says nothing yet about what follows.
CLOSERS = "\"'”’)]}）】》」』*_`"
RUNS_ON = "….!?。！？"
# A full stop behind these does not end a sentence (nor does one behind a single letter).
ABBREVIATION = re.compile(
    r"approx|cf|dept|dr|etc|fig|inc|jr|ltd|messrs|mr|mrs|ms|prof|sr|st|vs", re.IGNORECASE
)
_LAST_WORD = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]+$")
_LIST_NUMBER = re.compile(r"(?:^|\n)\s*\d+$")


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF"


def _glued(char: str) -> bool:
    """Whether ``char``, directly behind an ASCII mark, shows that the mark is inside a word."""
    return not char.isspace() and (char.isascii() or (char.isalnum() and not _is_wide(char)))


def _abbreviated(before: str) -> bool:
    """Whether a full stop behind ``before`` belongs to the word: e.g, U.S.A, Dr, a list's 1."""
    word = _LAST_WORD.search(before)
    if word is None:
        return bool(_LIST_NUMBER.search(before))
    letters = word.group().rsplit(".", 1)[-1]
    return (len(letters) == 1 and letters.isascii()) or bool(ABBREVIATION.fullmatch(letters))


class WordAwareStops:
    """Our rule: pauses behind punctuation, never inside a number, a word or an abbreviation.

    Whether "." or "," ends something is known only from what follows it: "3" "." may go on with
    "14" or with " Then". So the decision waits for the next token, and costs nothing: the token
    with the mark stays in the context, hence is fed to the model anyway, and its scores are those
    of the next token. If that one shows a boundary (a space, a wide character), the call pauses
    before it, it is dropped and the model writes it again after the speech; if not, it is simply
    the next token, and nothing was lost. No token is ever looked at further ahead.

    - quotes, brackets and more marks directly behind a mark belong to the piece it ends;
    - "." pauses only with white space (or, no digit before it, a wide character) behind it, not
      in abbreviations, initials and the numbers of a list;
    - "," "!" "?" do not pause with a letter, a digit or another ASCII sign directly behind;
    - wide marks always pause, except between digits;
    - a token that runs on past the mark with letters does not pause: they belong to a word;
    - a piece without any letter or digit is not worth speaking.

    Stop texts that are not a single mark, with or without spaces, follow :class:`StopStrings`.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        stops = tuple(stops)
        marks = [stop.strip() for stop in stops]
        self._marks = "".join(m for m in marks if len(m) == 1 and not m.isalnum())
        self._plain = StopStrings(
            stop
            for stop, mark in zip(stops, marks, strict=True)
            if mark not in self._marks or not mark
        )
        self._text = ""
        self._held: tuple[str, str] | None = None  # text before the mark, the mark

    def begin(self, context: str) -> None:
        """Nothing is held in front of the new text."""
        self._plain.begin(context)
        self._text = ""
        self._held = None

    def before(self, piece: str) -> bool:
        """Whether the mark that is held ends a piece, now that what follows it is known."""
        return self._held is not None and bool(piece) and self._ends(*self._held, piece[0])

    def after(self, piece: str, text: str) -> bool:
        """Whether the plain rule pauses here; a mark whose follower decides is held."""
        self._held = None
        if self._plain.after(piece, text):
            return True
        if not text:
            return False
        self._text += text
        body = self._text.rstrip()
        core = body.rstrip(CLOSERS)
        if not core or core[-1] not in self._marks:
            return False
        ending = core[:-1], core[-1]
        if len(body) < len(self._text):
            return self._ends(*ending, " ")
        self._held = ending
        return False

    def _ends(self, before: str, mark: str, behind: str) -> bool:
        """Whether a piece ends at ``mark``, given the character that follows."""
        if behind in CLOSERS or behind in RUNS_ON or behind in self._marks:
            return False
        if not any(char.isalnum() for char in before):
            return False
        if not mark.isascii():
            return not (before[-1].isdigit() and behind.isdigit())
        if _glued(behind):
            return False
        if mark != ".":
            return True
        return not _abbreviated(before) and (behind.isspace() or not before[-1].isdigit())


def pause_rule(stops: Iterable[str], inside_words: bool) -> PauseRule:
    """The published rule where it may split words, else ours."""
    return StopStrings(stops) if inside_words else WordAwareStops(stops)
