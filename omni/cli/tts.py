"""``omni tts``: read a text aloud, in one voice or in several.

Knows: its flags, a text from stdin. Does not know: how speech is written, how a script is.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from omni.cli import flags
from omni.cli.inputs import clean, stdin_text
from omni.cli.output import check_place, follow, load
from omni.conversation import VoicePrompt
from omni.engine import Engine
from omni.listening.gallery import ready_voices
from omni.options import READING
from omni.prompting.script import script_lines
from omni.requests import ReadLine


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
    command.add_argument(
        "--script",
        action="store_true",
        help='several voices: a line that begins with a voice\'s name ("Anna: Hello!") is read in '
        "that voice",
    )
    command.add_argument(
        "--speaker",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a voice of your own for --script: its name and a recording; may be given several "
        "times",
    )
    return command


def run(engine: Engine, options: flags.Options) -> None:
    """The text as a sound file."""
    voice = flags.voice(options)
    own = _speakers(options)
    check_place(options.out)
    text = stdin_text() if options.text == "-" else clean(options.text)
    generation = replace(READING, seed=options.seed)
    manner = clean(options.system)
    if not options.script:
        load(engine)
        follow(engine.read_aloud(text, voice=voice, options=generation, manner=manner), options.out)
        return
    lines = spoken_lines(text, own, voice, manner)
    load(engine)
    follow(engine.read_lines(lines, options=generation), options.out)


def spoken_lines(
    text: str, own: Mapping[str, VoicePrompt], voice: VoicePrompt | None, manner: str
) -> tuple[ReadLine, ...]:
    """A script's lines with their voices.

    Args:
        own: voices by name, before those of the gallery.
        voice: of lines without a name.

    Raises:
        VoiceError: ``voice-unknown``.
        ConversationError: ``nothing-to-read``.
    """
    ready = ready_voices()
    return tuple(
        ReadLine(line.text, own.get(line.name) or ready[line.name].prompt(), line.name, manner)
        if line.name
        else ReadLine(line.text, voice, manner=manner)
        for line in script_lines(text, (*own, *ready))
    )


def _speakers(options: flags.Options) -> dict[str, VoicePrompt]:
    """The voices of ``--speaker``; ends the program where one makes no sense."""
    if options.speaker and not options.script:
        options.command.error("--speaker names a voice for --script")
    found = {}
    for given in options.speaker:
        name, equals, file = given.partition("=")
        if not (name.strip() and equals and file):
            options.command.error(f"--speaker {given}: give it as NAME=FILE")
        found[clean(name).strip()] = VoicePrompt(Path(file), "system", None)
    return found
