"""How wide the domain is.

Knows: the two widths. Does not know: what belongs to them (each table marks its own core).
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias, TypeVar

from finetune.nano.domain.languages import Language

DomainWidth: TypeAlias = Literal["core", "full"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")


class _Marked(Protocol):
    @property
    def core(self) -> bool: ...


Entry = TypeVar("Entry", bound=_Marked)


def within(entries: tuple[Entry, ...], width: DomainWidth) -> tuple[Entry, ...]:
    """The entries of a table that belong to a width."""
    if width == "full":
        return entries
    return tuple(entry for entry in entries if entry.core)
