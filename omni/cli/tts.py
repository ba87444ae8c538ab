"""``omni tts``: read a text aloud.

Knows: its flags, a text from stdin. Does not know: how speech is written.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from omni.cli import flags
from omni.cli.inputs import clean, stdin_text
from omni.cli.output import check_place, follow, load
from omni.engine import Engine
from omni.options import READING


def add(commands: flags.Commands) -> argparse.ArgumentParser:
    """The command's own flags."""
    command = commands.add_parser("tts", help="read a text aloud")
    command.add_argument("text", help="what to read; - reads it from standard input")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help=flags.OUT_HELP)
    flags.add_voice(command)
    command.add_argument(
        "--system",
        default="",
        metavar="TEXT",
        help='how to read it, as in a system prompt ("Speak slowly.")',
    )
    return command


def run(engine: Engine, options: flags.Options) -> None:
    """The text as a sound file."""
    voice = flags.voice(options)
    check_place(options.out)
    text = stdin_text() if options.text == "-" else clean(options.text)
    generation = replace(READING, seed=options.seed)
    manner = clean(options.system)
    load(engine)
    reading = engine.read_aloud(text, voice=voice, options=generation, manner=manner)
    follow(reading, options.out)
