"""Which scripts a text is written in, by Unicode's names of its letters.

Knows: words and letters. Does not know: languages, what a checkpoint has learnt.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# A letter alone is a name for something: in a formula, of an axis.
_WORD = re.compile(r"[^\W\d_]{2,}")
_LETTERS = frozenset({"Lu", "Ll", "Lt", "Lo"})


def strange_word(text: str, scripts: Sequence[str]) -> str | None:
    """The first word of ``text`` without a letter of ``scripts``; None: there is none.

    Args:
        scripts: the first words of letters' names in Unicode: LATIN, CJK, CYRILLIC ...
    """
    for word in _WORD.findall(unicodedata.normalize("NFKC", text)):
        letters = [letter for letter in word if unicodedata.category(letter) in _LETTERS]
        if letters and not any(_script(letter) in scripts for letter in letters):
            return str(word)
    return None


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]
