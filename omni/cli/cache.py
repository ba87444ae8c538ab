"""``omni cache``: what lies on the disk, and removing it.

Knows: its flags and its table. Does not know: how weights are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from omni.cli import flags
from omni.cli.output import say, size
from omni.errors import ResourceError

if TYPE_CHECKING:
    from omni.loading.kept.shelf import Entry

STATES = {
    "ready": "ready",
    "changed": "source changed: made anew at the next load that keeps",
    "gone": "source gone: load it by its path",
    "damaged": "damaged: not used",
    "writing": "being written",
    "unfinished": "unfinished: not used",
}
COLUMNS = ("NAME", "BITS", "SIZE", "LAST USED", "STATE", "SOURCE")


def add(commands: flags.Commands) -> argparse.ArgumentParser:
    """The command's own flags."""
    command = commands.add_parser(
        "cache", help="list the quantized weights that are kept, or remove them (cache rm)"
    )
    actions = command.add_subparsers(metavar="ACTION")
    command.set_defaults(remove=None, all=False)
    rm = actions.add_parser("rm", help="remove kept weights")
    rm.add_argument("remove", nargs="*", metavar="NAME", help="as the list names it")
    rm.add_argument("--all", action="store_true", help="everything that is kept")
    return command


def run(options: flags.Options) -> None:
    """List, or remove what is named."""
    if options.remove is None:
        _list()
        return
    if options.all == bool(options.remove):
        options.command.error("cache rm: give names, or --all")
    _remove(options.remove)


def _list() -> None:
    from omni.loading.kept import shelf
    from omni.loading.kept.hub_cache import hub_models

    entries = shelf.entries()
    print(f"Quantized weights that are kept in {shelf.shelf()}:")
    print(table([_row(entry) for entry in entries]) if entries else "  none")
    models = hub_models()
    if models:
        print("\nIn the Hugging Face Hub's cache (remove by `hf cache rm model/NAME`):")
        rows = [(m.name, size(m.bytes), _day(m.used)) for m in models]
        print(table([("NAME", "SIZE", "LAST USED"), *rows], head=False))


def _remove(names: Sequence[str]) -> None:
    """Remove the entries of these names, all for none; nothing if one of them is not there."""
    from omni.loading.kept import shelf

    there = {entry.name: entry for entry in shelf.entries()}
    unknown = [name for name in names if name not in there]
    if unknown:
        raise ResourceError(
            "kept-unknown",
            "Nothing is kept under the name {name}: `omni cache` lists the names.",
            name=unknown[0],
        )
    freed = 0
    for name, entry in there.items():
        if names and name not in names:
            continue
        if entry.state == "writing":
            say(f"{name} is being written: left alone.")
            continue
        shelf.remove(entry)
        freed += entry.bytes
        say(f"removed {name}")
    say(f"{size(freed)} are free again.")


def table(rows: Sequence[Sequence[str]], head: bool = True) -> str:
    """Rows in columns; ``head``: below the names of the columns."""
    rows = [COLUMNS, *rows] if head else list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(f"  {line.rstrip()}" for line in lines)


def _row(entry: Entry) -> tuple[str, ...]:
    record = entry.record
    return (
        entry.name,
        record.bits.removesuffix("bit") if record else "?",
        size(entry.bytes),
        _day(entry.used),
        STATES[entry.state],
        record.source.name if record else "?",
    )


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
