"""Mandarin text to the symbols that Kokoro was trained on.

Knows: pinyin by ``pypinyin`` (MIT) in the words that ``jieba`` (MIT) finds; which symbols a
syllable has, as misaki (Apache-2.0) and pinyin-to-ipa (MIT) write them. Does not know: models.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

from finetune.nano.teachers.files import missing
from finetune.nano.teachers.phones import TONES, Phones


def _rows(text: str) -> dict[str, str]:
    """Columns: pinyin and symbols; a dash is nothing."""
    rows = (cell.split("=") for cell in text.split())
    return {name: symbols.replace("-", "") for name, symbols in rows}


INITIALS: Mapping[str, str] = {"": ""} | _rows("""
b=p p=pʰ m=m f=f d=t t=tʰ n=n l=l g=k k=kʰ h=x j=ʨ q=ʨʰ x=ɕ zh=ꭧ ch=ꭧʰ sh=ʂ r=ɻ z=ʦ c=ʦʰ s=s
""")
# The vowel, after which the tone stands; what follows it.
_VOWELS = _rows("""
a=a ai=ai an=a ang=a ao=au e=ɤ ei=ei en=ə eng=ə i=i ia=ja ian=jɛ iang=ja iao=jau ie=je in=i iou=jou
ing=i iong=jʊ ong=ʊ ou=ou u=u uei=wei ua=wa uai=wai uan=wa uen=wə uang=wa ueng=wə uo=wo o=wo
ü=y üe=ɥe üan=ɥɛ ün=y v=y ve=ɥe van=ɥɛ vn=y er=ɚ io=jɔ ê=ɛ
""")
_NASAL = {"n": "n", "g": "ŋ"}
FINALS: Mapping[str, tuple[str, str]] = {
    final: (vowel, _NASAL.get(final[-1], "")) for final, vowel in _VOWELS.items()
}
BUZZED = ("zh", "ch", "sh", "r", "z", "c", "s")  # whose -i is no [i]
BUZZ = "ɨ"
PAUSES = str.maketrans("，、。！？；：（）“”《》", ",,.!?;:()““““")
_HANZI = "\u3400-\u9fff"


class Words(Protocol):
    """jieba."""

    def lcut(self, sentence: str) -> list[str]:
        """The words of a text."""
        ...


@lru_cache(maxsize=1)
def _words() -> Words:
    try:
        import jieba
    except ImportError as error:
        raise missing("the package jieba") from error
    jieba.setLogLevel(logging.WARNING)
    return jieba


def syllables(word: str) -> list[tuple[str, str, int]]:
    """Initial, final and tone (1 to 4; 5: none) of each Hanzi of a word.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    try:
        from pypinyin import Style, lazy_pinyin
        from pypinyin.contrib.tone_convert import to_finals, to_initials
    except ImportError as error:
        raise missing("the package pypinyin") from error
    found = []
    for read in lazy_pinyin(word, style=Style.TONE3, neutral_tone_with_five=True):
        tone = int(read[-1]) if read[-1:].isdigit() else 5
        plain = read.rstrip("012345")
        found.append((to_initials(plain), to_finals(plain, v_to_u=True) or plain, tone))
    return found


def syllable_symbols(initial: str, final: str, tone: int) -> str:
    """The symbols of a syllable; nothing for one that no table has."""
    if initial in BUZZED and final == "i":
        vowel, ending = BUZZ, ""
    elif initial in INITIALS and final in FINALS:
        vowel, ending = ("ɔ", "") if not initial and final == "o" else FINALS[final]
    else:
        return ""
    return INITIALS[initial] + vowel + TONES[tone] + ending


def mandarin_phones(text: str) -> Phones:
    """The symbols of a text; words stand apart, as in the texts that Kokoro learnt from.

    What is neither Hanzi nor a pause is left out: numbers are to be written in Hanzi.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    symbols, places, place = "", [], 0
    for part in re.findall(f"[{_HANZI}]+|[^{_HANZI}]+", text):
        pieces = _words().lcut(part) if re.match(f"[{_HANZI}]", part) else list(part)
        for piece in pieces:
            for number, added in enumerate(_piece(piece)):
                symbols += added
                places += [place + number] * len(added)
            place += len(piece)
            if symbols and not symbols.endswith(" "):
                symbols += " "
                places.append(max(0, place - 1))
    kept = len(symbols.rstrip())
    symbols, places = symbols[:kept], places[:kept]
    # A pause follows its word at once.
    gone = {m.start() for m in re.finditer(r" (?=[,.!?;:])", symbols)}
    where = tuple(p for number, p in enumerate(places) if number not in gone)
    return Phones("".join(s for number, s in enumerate(symbols) if number not in gone), where)


def _piece(piece: str) -> list[str]:
    """The symbols of each character of a word or of a mark."""
    if re.match(f"[{_HANZI}]", piece):
        return [syllable_symbols(*syllable) for syllable in syllables(piece)]
    mark = piece.translate(PAUSES)
    return [mark if mark in ",.!?;:" else ""]
