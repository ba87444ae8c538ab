"""What the commands of ``python -m finetune`` share.

Knows: lines for people go to stderr, results to stdout. Does not know: the commands.
"""

from __future__ import annotations

import argparse
import sys
from typing import Protocol


class Commands(Protocol):
    """What a command adds its parser to (argparse's own class is not public)."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:
        """The parser of the command ``name``."""
        ...


def say(line: str) -> None:
    """A line for the person in front of the terminal."""
    print(line, file=sys.stderr, flush=True)
