"""``omni asr``: write down what recordings say.

Knows: its flags, several files in a row. Does not know: how a transcript is shown.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from omni.cli import flags
from omni.cli.output import follow, load
from omni.engine import Engine
from omni.options import TRANSCRIBING


def add(commands: flags.Commands) -> argparse.ArgumentParser:
    """The command's own flags."""
    command = commands.add_parser("asr", help="write down what recordings say")
    command.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="sound, or a clip with sound"
    )
    return command


def run(engine: Engine, options: flags.Options) -> None:
    """Print the transcript of each file, after its name if there are several."""
    generation = replace(TRANSCRIBING, seed=options.seed)
    load(engine)
    for file in options.files:
        if len(options.files) > 1:
            print(f"{file}: ", end="", flush=True)
        follow(engine.transcribe(file, options=generation), None)
