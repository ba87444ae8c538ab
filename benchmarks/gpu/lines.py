"""Results as lines of JSON, each on the disk as soon as it is known.

Knows: what a line says, how a file of them is read again. Does not know: what is measured.
Several processes write the same file, one after the other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lib.rows import Row

BEGIN, ROW, END = "begin", "row", "end"  # what a line is about
DONE, FAILED, LATE, LEFT_OUT = "done", "failed", "time was up", "left out"  # how a part ended


@dataclass(frozen=True)
class Results:
    """A file of lines."""

    path: Path

    def add(self, what: str, part: str, **values: Any) -> None:
        """One more line."""
        line = json.dumps({"what": what, "part": part, **values}, ensure_ascii=False)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def add_row(self, part: str, row: Row) -> None:
        """One more measurement."""
        self.add(ROW, part, **row.to_json())

    def lines(self) -> list[dict[str, Any]]:
        """All lines; one that a killed process left half is not there."""
        if not self.path.is_file():
            return []
        found = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return found

    def rows(self) -> list[Row]:
        """The measurements, their names behind that of their part."""
        rows = []
        for line in self.lines():
            if line["what"] == ROW:
                rows.append(Row.from_json(line | {"name": f"{line['part']}.{line['name']}"}))
        return rows

    def ends(self) -> dict[str, str]:
        """How each part ended, by name."""
        return {line["part"]: line["how"] for line in self.lines() if line["what"] == END}
