"""Rows of a measurement: a name, a value, perhaps a bound; as a table, as JSON, as Markdown.

Knows: how a value compares with its bound, how rows are written. Does not know: what is measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Bound:
    """What a value must reach: at most or at least ``value``."""

    value: float
    at_most: bool = False

    def met(self, value: float) -> bool:
        """Whether ``value`` is on the right side."""
        return value <= self.value if self.at_most else value >= self.value

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.value:g}"


@dataclass(frozen=True)
class Row:
    """One measurement. ``value`` None: it could not be taken, ``note`` says why."""

    name: str  # snake case, the unit last: first_sound_s
    value: float | str | None
    bound: Bound | None = None
    note: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether the bound is met; None without a bound or a number to compare."""
        if self.bound is None or not isinstance(self.value, int | float):
            return None
        return self.bound.met(self.value)

    def to_json(self) -> dict[str, Any]:
        """{name, value, bound, ok} and what says more about it."""
        bound = self.bound
        return {
            "name": self.name,
            "value": self.value,
            "bound": bound.value if bound else None,
            "ok": self.ok,
            "direction": None if bound is None else "at most" if bound.at_most else "at least",
            "note": self.note,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Row:
        """The row that :meth:`to_json` wrote."""
        limit = values["bound"]
        bound = None if limit is None else Bound(limit, values["direction"] == "at most")
        return cls(values["name"], values["value"], bound, values["note"])

    def cells(self) -> tuple[str, str, str, str, str]:
        """Name, value, bound, verdict and note, as shown."""
        verdict = {None: "", True: "yes", False: "no"}[self.ok]
        return self.name, shown(self.value), str(self.bound or ""), verdict, self.note


HEADER = ("measure", "value", "bound", "met", "note")


def shown(value: float | str | None) -> str:
    """A value with three significant digits; a dash for none."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(rows: Iterable[Row]) -> str:
    """The rows in aligned columns."""
    lines = [HEADER, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    padded = [
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) for line in lines
    ]
    return "\n".join(line.rstrip() for line in padded)


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    rule = ["---"] * len(header)
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *lines])


def rows_markdown(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    return markdown(HEADER, [row.cells() for row in rows])


def write_json(path: Path, rows: Iterable[Row], **about: Any) -> None:
    """The rows with the time and ``about`` (machine, command), as one JSON object."""
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    content = {"date": date, **about, "rows": [row.to_json() for row in rows]}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> tuple[list[Row], dict[str, Any]]:
    """What :func:`write_json` wrote: the rows, and the rest."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return [Row.from_json(row) for row in content.pop("rows")], content
