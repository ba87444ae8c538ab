"""``omni chat``: ask something, hear the answer.

Knows: how flags and lines of stdin become a conversation. Does not know: how an answer is shown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from omni.cli import flags
from omni.cli.inputs import clean
from omni.cli.output import check_place, follow, load, say
from omni.cli.sound import is_pipe
from omni.conversation import (
    DEFAULT_SYSTEM_TEXT,
    PROMPT_LANGUAGES,
    Audio,
    Conversation,
    Image,
    Message,
    Part,
    SystemPrompt,
    Text,
    Video,
)
from omni.engine import Engine

MEDIA = (
    ("audio", "a sound file for the model to hear; may be repeated"),
    ("image", "a picture for the model to see; may be repeated"),
    ("video", "a clip for the model to see; may be repeated"),
)


def add(commands: flags.Commands) -> argparse.ArgumentParser:
    """The command's own flags."""
    command = commands.add_parser("chat", help="ask something, hear the answer")
    command.add_argument("text", nargs="?", help="what to say; optional if a file is given")
    for name, what in MEDIA:
        command.add_argument(
            f"--{name}", action="append", default=[], type=Path, metavar="FILE", help=what
        )
    flags.add_voice(command)
    command.add_argument(
        "--system", default=DEFAULT_SYSTEM_TEXT, metavar="TEXT", help="the system prompt"
    )
    command.add_argument(
        "--language",
        choices=PROMPT_LANGUAGES,
        default="en",
        help="language of the sentences that the program adds to the prompt",
    )
    command.add_argument("--text-only", action="store_true", help="answer without speech")
    command.add_argument(
        "--out",
        type=Path,
        default=Path("answer.wav"),
        metavar="FILE",
        help=f"{flags.OUT_HELP} (answer.wav)",
    )
    command.add_argument(
        "--interactive",
        action="store_true",
        help="keep talking: each line of standard input is the next message",
    )
    return command


def run(engine: Engine, options: flags.Options) -> None:
    """One turn; with --interactive, one more for each line of stdin."""
    first = first_message(options)
    if not first and not options.interactive:
        options.command.error("say something: a text, --audio, --image or --video")
    if options.interactive and is_pipe(options.out) and not options.text_only:
        options.command.error("--interactive writes several files: --out cannot be a pipe")
    system = SystemPrompt(clean(options.system), flags.voice(options))
    conversation = Conversation(system, language=options.language)
    speech = not options.text_only
    if speech:
        check_place(options.out)
    load(engine)
    generation = replace(engine.default_options, speech=speech, seed=options.seed)
    for number, parts in enumerate(messages(first, options.interactive)):
        conversation = conversation.plus(Message("user", parts))
        out = numbered(options.out, number) if speech else None
        end = follow(engine.turn(conversation, generation), out)
        conversation = conversation.plus(end.message)


def first_message(options: flags.Options) -> tuple[Part, ...]:
    """What the flags say, in the published order of parts: pictures, clips, sound, text."""
    parts: list[Part] = [Image(path) for path in options.image]
    parts += [Video(path) for path in options.video]
    parts += [Audio(path) for path in options.audio]
    if options.text and options.text.strip():
        parts.append(Text(clean(options.text)))
    return tuple(parts)


def messages(first: tuple[Part, ...], interactive: bool) -> Iterator[tuple[Part, ...]]:
    """``first``, unless it is empty; with ``interactive``, then the lines of stdin."""
    if first:
        yield first
    while interactive:
        say("> ", end="")
        line = sys.stdin.readline()
        if not line:
            return
        if text := clean(line).strip():
            yield (Text(text),)


def numbered(path: Path, number: int) -> Path:
    """answer.wav, answer-2.wav, answer-3.wav, ..."""
    return path if number == 0 else path.with_stem(f"{path.stem}-{number + 1}")
