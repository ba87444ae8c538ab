"""What stands below the orb: the answer's words, each with the sound that it is spoken with.

Knows: in which order words and sound came from the engine, which of it was told to the page.
Does not know: when an answer may be heard (omni.dialogue), how captions look.

The engine's words come before their sound. Each piece of text is told with the number of samples
that had been made before it: the page shows it when so many were played.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omni.dialogue.answer_so_far import Item
from omni.dialogue.states import Answer, AnswerState
from omni.events import SpeechChunk, TextDelta

HEARD = (AnswerState.AWAITED, AnswerState.PLAYING)  # nobody reads a held answer


class Captions:
    """Of the answers of one session."""

    def __init__(self) -> None:
        self._number = 0  # of the answer that they are of
        self._pieces: list[tuple[str, int]] = []  # text, and samples made before it
        self._samples = 0
        self._told = 0  # pieces

    def add(self, number: int, item: Item) -> None:
        """An item of an answer; those of a new one end the one before."""
        if number < self._number:
            return
        if number > self._number:
            self._number, self._pieces, self._samples, self._told = number, [], 0, 0
        if isinstance(item, TextDelta):
            self._pieces.append((item.text, self._samples))
        elif isinstance(item, SpeechChunk):
            self._samples += len(item.samples)

    def due(self, answer: Answer | None) -> Iterator[dict[str, Any]]:
        """Messages for the page that it has not got yet, if ``answer`` may be heard."""
        if answer is None or answer.number != self._number or answer.state not in HEARD:
            return
        pieces, self._told = self._pieces[self._told :], len(self._pieces)
        for text, at in pieces:
            yield {"type": "said", "answer": self._number, "text": text, "at": at}
