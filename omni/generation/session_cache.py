"""What a session's next turn need not compute again: its context's keys and values, its media.

Knows: values by session and name, how many bytes they take, who used them last.
Does not know: how they are made, what is in them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TypeAlias

from omni.model.layers.key_values import KeyValues

# What a position of a context holds: an id that stands for itself, or the content that a pad
# stands for. Equal keys up to a position mean equal keys and values up to there.
Key: TypeAlias = Hashable

DEFAULT_BYTES = 1024**3  # 18 000 positions of the published model in 16 bits


@dataclass
class CachedContext:
    """A context's keys and values, and what each of its positions holds."""

    values: KeyValues
    keys: list[Key] = field(default_factory=list)

    def common(self, keys: list[Key]) -> int:
        """How many positions at the start hold the same as ``keys``."""
        held = min(len(self.keys), self.values.length)
        for index, (kept, wanted) in enumerate(zip(self.keys[:held], keys, strict=False)):
            if kept != wanted:
                return index
        return min(held, len(keys))


class SessionCache:
    """Values of sessions within one bound of bytes; may be used from any thread.

    Where room is needed, the session that was used least lately goes, whole; then, of the one
    session left, its values that were used least lately.
    """

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        """``limit``: bytes; 0 keeps nothing."""
        self.limit = limit
        self._sessions: OrderedDict[str, OrderedDict[Hashable, tuple[object, int]]] = OrderedDict()
        self._working: dict[str, int] = {}  # turns of a session that are under way
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """What is held now."""
        with self._lock:
            return self._total()

    def begin(self, session: str) -> None:
        """A turn of ``session`` starts."""
        with self._lock:
            self._working[session] = self._working.get(session, 0) + 1

    def end(self, session: str) -> None:
        """A turn of ``session`` is over."""
        with self._lock:
            turns = self._working.pop(session, 0) - 1
            if turns > 0:
                self._working[session] = turns

    def get(self, session: str, name: Hashable) -> object | None:
        """The value, which stays; None if there is none."""
        with self._lock:
            values = self._sessions.get(session)
            found = values.get(name) if values else None
            if found is None:
                return None
            self._sessions.move_to_end(session)
            self._sessions[session].move_to_end(name)
            return found[0]

    def take(self, session: str, name: Hashable) -> object | None:
        """The value, which is removed; None if there is none."""
        with self._lock:
            found = self._sessions.get(session, OrderedDict()).pop(name, None)
            return None if found is None else found[0]

    def put(self, session: str, name: Hashable, value: object, size: int) -> None:
        """Keeps ``value`` of ``size`` bytes, if it fits at all.

        Only for a session with a turn under way: what was forgotten meanwhile stays forgotten.
        """
        with self._lock:
            if session not in self._working or size > self.limit:
                return
            values = self._sessions.setdefault(session, OrderedDict())
            self._sessions.move_to_end(session)
            values.pop(name, None)
            values[name] = (value, size)
            self._make_room()

    def forget(self, session: str) -> None:
        """Drops all of a session; a turn of it that is under way keeps nothing either."""
        with self._lock:
            self._sessions.pop(session, None)
            self._working.pop(session, None)

    def clear(self) -> None:
        """Drops everything."""
        with self._lock:
            self._sessions.clear()
            self._working.clear()

    def _total(self) -> int:
        return sum(size for values in self._sessions.values() for _, size in values.values())

    def _make_room(self) -> None:
        while self._total() > self.limit:
            oldest = next(iter(self._sessions))
            if len(self._sessions) > 1:
                del self._sessions[oldest]
            else:
                self._sessions[oldest].popitem(last=False)
