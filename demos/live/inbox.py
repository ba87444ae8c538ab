"""What waits for the thread of a live session: bounded, and the end overtakes the rest.

Knows: order, how much waits. Does not know: what the items mean.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue between threads; items may have a size, and ``first`` puts one before all others."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._urgent: deque[T] = deque()
        self._items: deque[tuple[T, int]] = deque()
        self.size = 0  # of what waits

    def put(self, item: T, size: int = 0) -> None:
        """Behind all others."""
        with self._changed:
            self._items.append((item, size))
            self.size += size
            self._changed.notify()

    def first(self, item: T, instead_of: Callable[[T], bool]) -> None:
        """Before all others, but behind those that came first before; what ``instead_of`` is true
        for is dropped.
        """
        with self._changed:
            self._urgent.append(item)
            self._items = deque(pair for pair in self._items if not instead_of(pair[0]))
            self.size = sum(size for _, size in self._items)
            self._changed.notify()

    def get(self, timeout: float) -> T:
        """The next item.

        Raises:
            queue.Empty: none came in ``timeout`` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._urgent or self._items, timeout):
                raise queue.Empty
            if self._urgent:
                return self._urgent.popleft()
            item, size = self._items.popleft()
            self.size -= size
            return item

    def empty(self) -> bool:
        """Whether nothing waits."""
        with self._changed:
            return not (self._urgent or self._items)

    def __len__(self) -> int:
        with self._changed:
            return len(self._urgent) + len(self._items)
