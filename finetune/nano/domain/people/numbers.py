"""Numbers in words, beyond those of nano's world.

Knows: both languages. Does not know: where they stand.
"""

from __future__ import annotations

HAN = "零一二三四五六七八九"


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ONES = _names("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen
""")
_TENS = _names("zero ten twenty thirty forty fifty sixty seventy eighty ninety")


def english_number(number: int) -> str:
    """A number below a thousand in words: 305 is three hundred and five.

    Raises:
        ValueError: it is no such number.
    """
    if not 0 <= number < 1000:
        raise ValueError(f"{number} is not between 0 and 999")
    hundreds, rest = divmod(number, 100)
    words = [f"{_ONES[hundreds]} hundred"] if hundreds else []
    if rest >= 20:
        tens, ones = divmod(rest, 10)
        words.append(f"{_TENS[tens]} {_ONES[ones]}" if ones else _TENS[tens])
    elif rest or not hundreds:
        words.append(_ONES[rest])
    return " and ".join(words)


def han_number(number: int) -> str:
    """A number below ten thousand in Hanzi: 305 is 三百零五.

    Raises:
        ValueError: it is no such number.
    """
    if not 0 <= number < 10_000:
        raise ValueError(f"{number} is not between 0 and 9999")
    if number < 10:
        return HAN[number]
    text, gap = "", False
    for digit, unit in zip(f"{number:04d}", ("千", "百", "十", ""), strict=True):
        if digit == "0":
            gap = bool(text)
            continue
        text += ("零" if gap else "") + HAN[int(digit)] + unit
        gap = False
    return text.removeprefix("一") if text.startswith("一十") else text
