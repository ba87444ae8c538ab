"""Streams: the one contract of everything in the model that works piece by piece.

Knows: how pieces go in and results come out, and when a sequence is over.
Does not know: what the pieces are, or what is computed from them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")
State = TypeVar("State")


class StreamFinished(RuntimeError):
    """A piece was pushed into a stream that is finished, or it was finished a second time."""


class Stream(ABC, Generic[Piece, Result, State]):
    """A computation over one sequence that comes in pieces of any length, empty ones included.

    :meth:`push` takes the next piece and gives what is final: what no later piece can change.
    :meth:`finish` ends the sequence and gives the rest; after it, :meth:`push` and :meth:`finish`
    raise :class:`StreamFinished` until :meth:`reset` makes the stream as it was when it was new.
    All results, joined, are the result of the whole sequence; each class says how exactly, and for
    which cuts.

    :attr:`state` is all that a stream remembers of its sequence. Everything else about it (weights,
    options, the random generator it was given, which goes on from where it is) is fixed. A call
    that raises leaves the state as it was, if the class checks its pieces.

    A subclass says what a new state is (:meth:`new_state`) and what a piece does (:meth:`advance`),
    and calls ``super().__init__()`` when all that these two need is there.
    """

    state: State
    finished: bool

    def __init__(self) -> None:
        self.reset()

    def push(self, piece: Piece) -> Result:
        """The next piece; gives the results that became final.

        Raises:
            StreamFinished: the sequence is over.
        """
        self._check_open()
        return self.advance(piece, last=False)

    def finish(self, piece: Piece | None = None) -> Result:
        """The end of the sequence, behind ``piece`` if there is one; gives all remaining results.

        Raises:
            StreamFinished: the sequence is over already.
        """
        self._check_open()
        result = self.advance(piece, last=True)
        self.finished = True
        return result

    def reset(self) -> None:
        """Forget the sequence, finished or under way: as new."""
        self.state = self.new_state()
        self.finished = False

    @abstractmethod
    def new_state(self) -> State:
        """What is remembered before the first piece."""

    @abstractmethod
    def advance(self, piece: Piece | None, last: bool) -> Result:
        """Take ``piece`` into the state; gives what is final with it.

        Args:
            piece: None: there is none, and ``last`` is True.
            last: nothing follows, so everything is final.
        """

    def _check_open(self) -> None:
        if self.finished:
            raise StreamFinished("this sequence is finished: reset the stream for another one")
