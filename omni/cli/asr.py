"""``omni asr``: write down what recordings say.

Knows: its flags, several files in a row. Does not know: how a transcript is shown.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from omni.cli import flags
from omni.cli.inputs import recordings, whole_file
from omni.cli.output import follow, load, say
from omni.engine import Engine
from omni.errors import OmniError
from omni.options import TRANSCRIBING

SOME_FAILED = 3  # the exit code when files of several could not be written down


def add(commands: flags.Commands) -> argparse.ArgumentParser:
    """The command's own flags."""
    command = commands.add_parser("asr", help="write down what recordings say")
    command.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="sound, or a clip with sound; a folder of them; - or a pipe reads one",
    )
    return command


def run(engine: Engine, options: flags.Options) -> int:
    """Print the transcript of each file, after its name if there are several; the exit code.

    One that fails of several stops no other: it is named at once and at the end.
    """
    generation = replace(TRANSCRIBING, seed=options.seed)
    files = recordings(options.files)
    several = len(files) > 1 or files != options.files
    load(engine)
    failed = []
    for file in files:
        try:
            with whole_file(file) as path:
                events = engine.transcribe(path, options=generation)
                follow(events, None, f"{file}: " if several else "")
        except BrokenPipeError:  # nobody reads any more
            raise
        except (OmniError, OSError) as error:
            if not several:
                raise
            failed.append(file)
            say(f"{file}: {error}")
    if failed:
        names = ", ".join(map(str, failed))
        say(f"{len(failed)} of {len(files)} files failed: {names}")
    return SOME_FAILED if failed else 0
