"""The command line: chat, asr and tts as thin consumers of the engine; quantize and cache without.

Knows: the commands, exit codes (0 done, 1 an error with its sentence, 2 wrong usage,
3 some of several files failed, 130 interrupted, 143 terminated). Does not know: anything that a
command or the engine does.
"""

from __future__ import annotations

import argparse
import errno
import logging
import sys
from pathlib import Path

from omni.cli import asr, cache, chat, flags, quantize, serve_ray, tts
from omni.cli.inputs import leave_stdout, speak_any_encoding
from omni.cli.output import say
from omni.engine import Engine
from omni.errors import OmniError
from omni.loading import ending
from omni.loading.network import prepare_network
from omni.loading.places import prepare_places

DONE, FAILED, INTERRUPTED = 0, 1, 130
PROGRAM = "omni"  # the console script
COMMANDS = (chat, asr, tts)  # each adds its flags and runs
TOOLS = (quantize, cache, serve_ray)  # the same without an engine


def program() -> int:
    """:func:`main` as the program: a signal ends the command, not the process under it."""
    ending.heed(ending.TERMINATED)
    return ending.run_program(main)


def main(arguments: list[str] | None = None, engine: Engine | None = None) -> int:
    """Run a command; its exit code. ``engine`` is for tests."""
    speak_any_encoding()
    options = parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    try:
        prepare_places()
        prepare_network()
        code: int | None = _run(options, engine)
    except BrokenPipeError:  # whoever read our output has enough
        leave_stdout()
        return FAILED
    except (OmniError, OSError) as error:
        say(sentence(error))
        leave_stdout()
        return FAILED
    except KeyboardInterrupt:
        say("\ninterrupted")
        return INTERRUPTED
    return code or DONE


def sentence(error: OmniError | OSError) -> str:
    """What a person reads of an error."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"The disk is full: {error.filename or 'the output'} could not be written."
    return str(error)


def parser() -> argparse.ArgumentParser:
    """All flags of all commands."""
    top = argparse.ArgumentParser(
        prog=PROGRAM if Path(sys.argv[0]).stem == PROGRAM else f"python -m {PROGRAM}",
        description="Talk with the model, transcribe speech, read a text aloud; "
        "quantize a model once and for all.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        command = module.add(commands)
        flags.add_engine(command)
        command.set_defaults(run=module.run, command=command, engine=True)
    for tool in TOOLS:
        command = tool.add(commands)
        flags.add_verbose(command)
        command.set_defaults(run=tool.run, command=command, engine=False)
    return top


def _run(options: argparse.Namespace, engine: Engine | None) -> int | None:
    if not options.engine:
        tool: int | None = options.run(options)
        return tool
    code: int | None = options.run(engine or flags.engine(options), options)
    return code
