"""When two texts say the same.

Knows: what does not count in a text. Does not know: who said it.
"""

from __future__ import annotations

import unicodedata

FINAL_MARKS = ".!?。！？…"


def normalised(text: str) -> str:
    """A text without what does not count.

    Compatibility forms made one (NFKC: full-width letters), small letters, single spaces, no
    space around it and no mark at its end. Marks inside count.
    """
    text = " ".join(unicodedata.normalize("NFKC", text).lower().split())
    return text.rstrip(FINAL_MARKS + " ")


def exact(found: str, wanted: str) -> bool:
    """Whether two texts are the same but for :func:`normalised`."""
    return normalised(found) == normalised(wanted)
