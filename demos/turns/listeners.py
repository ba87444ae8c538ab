"""Whose news nobody fetches is not there: their turns end, and their session is left.

Knows: for how long, and what is done about it. Does not know: how news travel (Gradio), sessions.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

ABSENT_S = 30.0  # a script may ask first and listen a little later
EVERY_S = 5.0


class Listeners:
    """Looks after those who asked for something and do not listen."""

    def __init__(
        self,
        unheard: Callable[[], Mapping[str, object]],
        leave: Callable[[str], None],
        absent_s: float = ABSENT_S,
        every_s: float = EVERY_S,
    ) -> None:
        """Args:
        unheard: the sessions with news that nobody has fetched yet, and the oldest of them.
        leave: called with a session whose oldest stayed the same for ``absent_s``, and again as
            long as it does.
        every_s: how often it is looked.
        """
        self._unheard, self._leave = unheard, leave
        self._absent_s, self._every_s = absent_s, every_s
        self._since: dict[str, tuple[object, float]] = {}  # the oldest news, and when they were new
        self._closed = threading.Event()

    def look(self, now: float) -> None:
        """Once."""
        before, self._since = self._since, {}
        for session, oldest in self._unheard().items():
            known, since = before.get(session, (None, now))
            if known is not oldest:
                since = now
            self._since[session] = oldest, since
            if now - since >= self._absent_s:
                self._leave(session)

    def watch(self) -> None:
        """Look from now on, in a thread."""
        threading.Thread(target=self._for_ever, name="listeners", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def _for_ever(self) -> None:
        while not self._closed.wait(self._every_s):
            try:
                self.look(time.monotonic())
            except (RuntimeError, IndexError):  # it changed while it was read: the next look sees
                log.info("could not look after listeners", exc_info=True)
