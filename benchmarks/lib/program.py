"""What the programs have in common: their flags' form, the command as it was given, the report.

Knows: argparse, where a report goes. Does not know: what is measured.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.lib.machine import sentence
from benchmarks.lib.rows import Row, table, write_json


def flags_parser(
    description: str | None, json_help: str = "write the rows there"
) -> argparse.ArgumentParser:
    """A parser that shows a module's docstring as it is written, with the flag ``--json``."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help=json_help)
    return parser


def command_of(module: str, arguments: Sequence[str] | None) -> str:
    """The command line as it can be typed again; ``arguments`` None: this process's own."""
    given = sys.argv[1:] if arguments is None else arguments
    return shlex.join(["python", "-m", module, *given])


def report(
    rows: Sequence[Row],
    machine: Mapping[str, object],
    command: str,
    json: Path | None = None,
    headline: str = "",
) -> int:
    """Print the machine, the command and the table, write ``json``; 1 where a bound is missed.

    Args:
        headline: a line to print below the command.
    """
    head = [sentence(dict(machine)), command, *([headline] if headline else [])]
    print("\n".join(head) + f"\n\n{table(rows)}")
    if json:
        write_json(json, rows, machine=machine, command=command)
    return 1 if any(row.ok is False for row in rows) else 0
