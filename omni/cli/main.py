"""The command line: chat, asr and tts, as thin consumers of the engine.

Knows: flags, streams, files, exit codes (0 done, 1 an error with its sentence, 2 wrong usage,
130 interrupted). Does not know: anything that the engine does.
Text goes to stdout as it comes, speech to a WAV file, everything else to stderr.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from errno import EISDIR, ENOENT
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from omni.conversation import (
    DEFAULT_SYSTEM_TEXT,
    Audio,
    Conversation,
    Image,
    Message,
    Part,
    SystemPrompt,
    Text,
    Video,
    VoicePrompt,
)
from omni.engine import Engine, EngineSettings
from omni.errors import OmniError
from omni.events import EngineEvent, Progress, SpeechChunk, TextDelta, TurnEnd
from omni.media.wav import WavWriter
from omni.options import READING, TRANSCRIBING
from omni.settings import QUANTIZATIONS

DONE, FAILED, INTERRUPTED = 0, 1, 130
STAGES = {
    "wait": "waiting",
    "download": "downloading",
    "load": "loading",
    "encode": "reading media",
}


def main(arguments: list[str] | None = None, engine: Engine | None = None) -> int:
    """Run a command; its exit code. ``engine`` is for tests."""
    options = parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    if engine is None:
        engine = Engine(
            EngineSettings(options.model, options.quantization, options.device, options.dtype)
        )
    try:
        options.run(engine, options)
    except OmniError as error:
        say(str(error))
        return FAILED
    except OSError as error:
        say(str(error))
        return FAILED
    except KeyboardInterrupt:
        say("\ninterrupted")
        return INTERRUPTED
    return DONE


def parser() -> argparse.ArgumentParser:
    """All flags of all commands."""
    top = argparse.ArgumentParser(prog="python -m omni", description=__doc__.split("\n", 1)[0])
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    chat = commands.add_parser("chat", help="ask something, hear the answer")
    chat.add_argument("text", nargs="?", help="what to say; may be left out beside a file")
    for name, what in (("audio", "sound"), ("image", "picture"), ("video", "clip")):
        chat.add_argument(
            f"--{name}", action="append", default=[], type=Path, metavar="FILE", help=f"a {what}"
        )
    _add_voice(chat)
    chat.add_argument("--system", default=DEFAULT_SYSTEM_TEXT, metavar="TEXT")
    chat.add_argument("--language", choices=("en", "zh"), default="en")
    chat.add_argument("--text-only", action="store_true", help="no speech")
    chat.add_argument("--out", type=Path, default=Path("answer.wav"), metavar="WAV")
    chat.add_argument(
        "--interactive", action="store_true", help="go on: a line of stdin is the next message"
    )
    chat.set_defaults(run=run_chat)

    asr = commands.add_parser("asr", help="write down what recordings say")
    asr.add_argument("files", nargs="+", type=Path, metavar="FILE")
    asr.set_defaults(run=run_asr)

    tts = commands.add_parser("tts", help="read a text aloud")
    tts.add_argument("text", help="- for standard input")
    tts.add_argument("--out", type=Path, required=True, metavar="WAV")
    _add_voice(tts)
    tts.set_defaults(run=run_tts)

    for command in (chat, asr, tts):
        _add_common(command)
        command.set_defaults(command=command)
    return top


def _add_voice(command: argparse.ArgumentParser) -> None:
    command.add_argument("--voice", type=Path, metavar="FILE", help="a recording to sound like")
    command.add_argument(
        "--voice-text",
        metavar="TEXT",
        help="what the recording says: it is then given as an example of reading aloud",
    )


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model", default="auto", help="auto, nano, a folder, or a name on the Hugging Face Hub"
    )
    command.add_argument("--quantization", choices=QUANTIZATIONS, default="auto")
    command.add_argument("--device", default="auto", help="auto, cpu, mps, cuda, cuda:N")
    command.add_argument(
        "--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16")
    )
    command.add_argument("--seed", type=int, help="the same seed gives the same answer")
    command.add_argument("--verbose", action="store_true", help="log what happens")


def run_chat(engine: Engine, options: argparse.Namespace) -> None:
    """One turn, or with --interactive one for each line of stdin."""
    first = said(options)
    if not first and not options.interactive:
        options.command.error("say something: a text, --audio, --image or --video")
    system = SystemPrompt(options.system, voice_of(options))
    conversation = Conversation(system, language=options.language)
    speech = not options.text_only
    if speech:
        check_place(options.out)
    load(engine)
    settings = replace(engine.default_options, speech=speech, seed=options.seed)
    for number, parts in enumerate(turns(first, options.interactive)):
        conversation = conversation.plus(Message("user", parts))
        out = numbered(options.out, number) if speech else None
        end = follow(engine.turn(conversation, settings), out)
        conversation = conversation.plus(end.message)


def run_asr(engine: Engine, options: argparse.Namespace) -> None:
    """The transcript of each file; behind its name if there are several."""
    settings = replace(TRANSCRIBING, seed=options.seed)
    load(engine)
    for file in options.files:
        if len(options.files) > 1:
            print(f"{file}: ", end="", flush=True)
        follow(engine.transcribe(file, options=settings), None)


def run_tts(engine: Engine, options: argparse.Namespace) -> None:
    """The text as a WAV file."""
    check_place(options.out)
    text = sys.stdin.read() if options.text == "-" else options.text
    settings = replace(READING, seed=options.seed)
    load(engine)
    follow(engine.read_aloud(text, voice=voice_of(options), options=settings), options.out)


def said(options: argparse.Namespace) -> tuple[Part, ...]:
    """The first message, in the published order of parts."""
    parts: list[Part] = [Image(path) for path in options.image]
    parts += [Video(path) for path in options.video]
    parts += [Audio(path) for path in options.audio]
    if options.text and options.text.strip():
        parts.append(Text(options.text))
    return tuple(parts)


def turns(first: tuple[Part, ...], interactive: bool) -> Iterator[tuple[Part, ...]]:
    """The messages: what the flags say, then with ``interactive`` the lines of stdin."""
    if first:
        yield first
    while interactive:
        say("> ", end="")
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield (Text(line.strip()),)


def voice_of(options: argparse.Namespace) -> VoicePrompt | None:
    """The voice prompt of the flags."""
    if options.voice is None:
        if options.voice_text is not None:
            options.command.error("--voice-text is what the recording of --voice says")
        return None
    use: Literal["system", "example"] = "system" if options.voice_text is None else "example"
    return VoicePrompt(options.voice, use, options.voice_text)


def numbered(path: Path, number: int) -> Path:
    """answer.wav, answer-2.wav, answer-3.wav, ..."""
    return path if number == 0 else path.with_stem(f"{path.stem}-{number + 1}")


def check_place(path: Path) -> None:
    """Find out before the work whether its result can be written.

    Raises:
        OSError: it cannot.
    """
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(ENOENT, "no such folder", str(folder))
    if path.is_dir():
        raise IsADirectoryError(EISDIR, "is a folder", str(path))


def load(engine: Engine) -> None:
    """Load before the first turn, so that the checkpoint's own defaults are known."""
    with closing(Bar()) as bar:
        for progress in engine.load():
            bar.show(progress)
    report = engine.report
    if report is not None and not report.trained:
        say(f"{report.checkpoint} has random weights here: it answers with noise and nonsense.")


def follow(events: Iterator[EngineEvent], out: Path | None) -> TurnEnd:
    """Print and write a turn as it comes; ``out`` None: there is no sound to write."""
    end: TurnEnd | None = None
    wav = WavWriter(out) if out is not None else None
    with ExitStack() as stack:
        bar = stack.enter_context(closing(Bar()))
        if wav is not None:
            stack.enter_context(wav)
        for event in events:
            if isinstance(event, Progress):
                bar.show(event)
                continue
            bar.close()
            if isinstance(event, TextDelta):
                print(event.text, end="", flush=True)
            elif isinstance(event, SpeechChunk) and wav is not None:
                wav.write(event.samples)
            else:
                assert isinstance(event, TurnEnd)
                end = event
    assert end is not None, "a turn ends with TurnEnd"
    if any(isinstance(part, Text) and part.text for part in end.message.parts):
        print(flush=True)
    say(summary(end, wav))
    return end


def summary(end: TurnEnd, wav: WavWriter | None) -> str:
    """A turn's numbers in a line."""
    stats = end.stats
    parts = [f"{stats.prompt_tokens} prompt tokens", f"{stats.text_tokens} text tokens"]
    if stats.text_tokens_per_s:
        parts[-1] += f" ({stats.text_tokens_per_s:.1f}/s)"
    if stats.first_text_s is not None:
        parts.append(f"first text after {stats.first_text_s:.2f} s")
    if stats.first_sound_s is not None:
        parts.append(f"first sound after {stats.first_sound_s:.2f} s")
    if wav is not None and wav.samples:
        parts.append(f"{stats.speech_s:.2f} s of speech in {wav.path}")
    if stats.real_time_factor is not None:
        parts.append(f"{stats.real_time_factor:.2f} times real time")
    parts.append(f"{stats.total_s:.2f} s in all")
    parts.append(f"seed {stats.seed}")
    if end.forgotten:
        parts.append(f"without the first {end.forgotten} messages, for which there is no room")
    if end.reason != "end":
        parts.append(f"ended by {end.reason}")
    return ", ".join(parts)


class Bar:
    """A progress bar on stderr, for one stage at a time."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stage = ""

    def show(self, progress: Progress) -> None:
        """Draw ``progress``."""
        if progress.stage != self._stage:
            self.close()
            self._stage = progress.stage
            counted = progress.unit == "bytes"
            self._bar = tqdm(
                desc=STAGES[progress.stage],
                total=progress.total or None,
                unit="B" if counted else "",
                unit_scale=counted,
                file=sys.stderr,
                leave=False,
            )
        assert self._bar is not None
        self._bar.total = progress.total or None
        self._bar.update(progress.done - self._bar.n)

    def close(self) -> None:
        """Take it away; the next progress draws a new one."""
        if self._bar is not None:
            self._bar.close()
            self._bar, self._stage = None, ""


def say(text: str, end: str = "\n") -> None:
    """Tell the person something that is not the result."""
    print(text, end=end, file=sys.stderr, flush=True)
