"""What a live session says to its person, in their language.

Knows: which sentence belongs to which end, error or interruption. Does not know: when.
"""

from __future__ import annotations

import logging

from demos.base.languages import Words
from demos.base.word_files import PageLanguage
from demos.turns.turn import progress_sentence
from omni.dialogue.exchange import Exchange
from omni.errors import OmniError
from omni.events import Progress

log = logging.getLogger(__name__)

_BELOW = {"cut": "live-cut", "limit": "note-limit"}  # outcome of an exchange -> its sentence


class Sentences:
    """One person's."""

    def __init__(self, words: Words, language: PageLanguage) -> None:
        self.words, self._language = words, language

    def say(self, key: str, **values: object) -> str:
        """The sentence of a key."""
        return self.words.say(self._language, key, **values)

    def error(self, error: Exception) -> str:
        """What went wrong; what nobody expected goes to the log."""
        if isinstance(error, OmniError):
            return self.words.error(self._language, error)
        log.error("a live turn failed", exc_info=error)
        return self.say("unexpected")

    def progress(self, progress: Progress) -> str:
        """What is waited for."""
        return progress_sentence(self.words, self._language, progress)

    def below(self, exchange: Exchange) -> str:
        """What stands below an answer that is over: why it ends where it does."""
        if exchange.error is not None:
            return self.error(exchange.error)
        key = _BELOW.get(exchange.outcome)
        return self.say(key) if key else ""
