"""An answer that was interrupted: what of it had been heard.

Knows: that a spoken answer is text and speech in turn, and how long a frame of speech lasts.
Does not know: how an answer is made or played.
"""

from __future__ import annotations

from dataclasses import replace

from omni.conversation import Message, Part, Speech, Text
from omni.events import FRAMES_PER_SECOND


def played_part(message: Message, seconds: float) -> Message:
    """The message up to what had been heard when playback stopped, marked as cut.

    Each piece of speech says the text before it, so of the piece that was being heard the same
    share of both is kept, the text up to a whole word. An answer without speech was read, not
    heard: it stays whole.

    Args:
        seconds: of the answer's sound that were played.
    """
    if not any(isinstance(part, Speech) and part.codes is not None for part in message.parts):
        return replace(message, cut=True)
    left = seconds * FRAMES_PER_SECOND
    kept: list[Part] = []
    waiting: list[Text] = []  # text whose speech has not come yet
    for part in message.parts:
        if isinstance(part, Text):
            waiting.append(part)
            continue
        if not isinstance(part, Speech) or part.codes is None:
            kept.append(part)
            continue
        frames = len(part.codes)
        if left >= frames:
            kept += [*waiting, part]
            waiting = []
            left -= frames
            continue
        if int(left) > 0:
            kept += _share(waiting, left / frames)
            kept.append(replace(part, codes=part.codes[: int(left)]))
        return replace(message, parts=tuple(kept), cut=True)
    return replace(message, parts=tuple(kept), cut=True)


def _share(texts: list[Text], share: float) -> list[Part]:
    """The first ``share`` of some text, up to the end of a word (a character of Chinese is one)."""
    text = "".join(part.text for part in texts)
    end = round(len(text) * share)
    while 0 < end < len(text) and _inside_word(text, end):
        end += 1
    return [Text(text[:end])] if text[:end].strip() else []


def _inside_word(text: str, at: int) -> bool:
    before, after = text[at - 1], text[at]
    return before.isascii() and after.isascii() and before.isalnum() and after.isalnum()
