"""What generation asks of a tokenizer.

Knows: the calls. Does not know: vocabularies (:class:`omni.prompting.tokenizer.OmniTokenizer`).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


class SpecialIds(Protocol):
    """The ids that start and end phases or stand for media."""

    @property
    def end_of_text(self) -> int:
        """Ends a text."""

    @property
    def audiogen_start(self) -> int:
        """Starts a spoken piece."""

    @property
    def audiogen_end(self) -> int:
        """Ends a spoken piece."""

    @property
    def audio_pad(self) -> int:
        """Stands for a frame of codes."""

    @property
    def image_pad(self) -> int:
        """Stands for a row of a picture."""

    @property
    def video_place(self) -> int:
        """Stands for a row of a clip's frame."""

    @property
    def pads(self) -> frozenset[int]:
        """All that stand for media."""


class CharacterStream(Protocol):
    """Ids in, whole characters out."""

    def push(self, token: int) -> str:
        """The characters that ``token`` completes."""


@runtime_checkable
class Tokenizer(Protocol):
    """Ids to text."""

    @property
    def special(self) -> SpecialIds:
        """Ids by meaning."""

    @property
    def added_ids(self) -> frozenset[int]:
        """Every id that no text gives."""

    @property
    def size(self) -> int:
        """Ids in all."""

    def piece(self, token: int) -> str:
        """The text of one id alone; a special id's is its name."""

    def stream(self) -> CharacterStream:
        """A decoder for ids that come one by one."""
