"""What every command writes: text to stdout as it comes, speech to its file, the rest to stderr.

Knows: streams, files, the progress bar, the line of numbers. Does not know: flags, commands.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from errno import EISDIR, ENOENT
from pathlib import Path

from tqdm import tqdm

from omni.cli.sound import SpeechFile, check_ending, is_pipe, is_stdout
from omni.conversation import Text
from omni.engine import Engine
from omni.events import EngineEvent, Progress, SpeechChunk, TextDelta, TurnEnd
from omni.loading.ending import obey
from omni.loading.progress.sentence import sentence

LINE_S = 10.0  # where nothing can be drawn, between two lines about the same stage
NOTES = {
    "damaged": "A part of {name} was damaged and could not be heard.",
    "unheard": "The sound of {name} could not be read: only its pictures were seen.",
    "clipped": "{name} is distorted (too loud for the microphone), and so will the voice be.",
    "noisy": "There is much noise around the voice in {name}: the new voice will suffer from it.",
    "two-voices": "Two people seem to speak in {name}: the voice may be a mixture of both.",
}


def say(text: str, end: str = "\n") -> None:
    """Tell the person something that is not the result."""
    print(text, end=end, file=sys.stderr, flush=True)


def size(number: int) -> str:
    """Bytes for a person: GB, or MB below one of them."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


def check_place(path: Path) -> None:
    """Find out before the work whether its result can be written.

    Raises:
        OSError: it cannot.
        MediaError: not in the format of its ending.
    """
    check_ending(path)
    if is_pipe(path):
        return
    folder = path.parent
    if not folder.is_dir():
        raise FileNotFoundError(ENOENT, "no such folder", str(folder))
    if path.is_dir():
        raise IsADirectoryError(EISDIR, "is a folder", str(path))


def load(engine: Engine) -> None:
    """Load before the first turn, so that the checkpoint's own defaults are known."""
    with closing(Bar()) as bar:
        for progress in engine.load():
            obey()
            bar.show(progress)
    report = engine.report
    if report is not None and not report.trained:
        say(f"{report.checkpoint} has random weights here: it answers with noise and nonsense.")


def follow(events: Iterator[EngineEvent], out: Path | None, label: str = "") -> TurnEnd:
    """Print and write a turn as it comes; ``out`` None: there is no sound to write.

    ``label`` stands before the text. Where sound takes standard output, text goes to stderr.
    """
    end: TurnEnd | None = None
    sound = SpeechFile(out) if out is not None else None
    stream = sys.stderr if out is not None and is_stdout(out) else sys.stdout
    with ExitStack() as stack:
        bar = stack.enter_context(closing(Bar()))
        if sound is not None:
            stack.enter_context(sound)
        for event in events:
            obey()
            if isinstance(event, Progress):
                bar.show(event)
                continue
            bar.close()
            if isinstance(event, TextDelta):
                print(label + event.text, end="", flush=True, file=stream)
                label = ""
            elif isinstance(event, SpeechChunk) and sound is not None:
                sound.write(event.samples)
            else:
                assert isinstance(event, TurnEnd)
                end = event
    assert end is not None, "a turn ends with TurnEnd"
    if label or any(isinstance(part, Text) and part.text for part in end.message.parts):
        print(label.rstrip(), flush=True, file=stream)
    for note in end.media_notes:
        say(NOTES[note.kind].format(name=note.name))
    say(summary(end, sound))
    return end


def summary(end: TurnEnd, sound: SpeechFile | None) -> str:
    """A turn's numbers in a line."""
    stats = end.stats
    parts = [f"{stats.prompt_tokens} prompt tokens", f"{stats.text_tokens} text tokens"]
    if stats.text_tokens_per_s:
        parts[-1] += f" ({stats.text_tokens_per_s:.1f}/s)"
    if stats.first_text_s is not None:
        parts.append(f"first text after {stats.first_text_s:.2f} s")
    if stats.first_sound_s is not None:
        parts.append(f"first sound after {stats.first_sound_s:.2f} s")
    if sound is not None and sound.samples:
        parts.append(f"{stats.speech_s:.2f} s of speech in {sound.path}")
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
    """What is under way, with a bar where it is known how much there is; one line on stderr.

    Where stderr is no terminal: a line for each stage, and one now and then.
    """

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stage, self._said = "", ""
        self._said_at = 0.0

    def show(self, progress: Progress) -> None:
        """Draw ``progress``."""
        if sys.stderr.isatty():
            self._draw(progress)
            return
        line, now = sentence(progress), time.monotonic()
        if line == self._said or (progress.stage == self._stage and now - self._said_at < LINE_S):
            return
        self._stage, self._said, self._said_at = progress.stage, line, now
        say(line)

    def _draw(self, progress: Progress) -> None:
        measured = progress.total > 0 and progress.stage != "wait"
        if self._bar is not None and measured != (self._bar.total is not None):
            self.close()
        if self._bar is None:
            self._bar = tqdm(
                total=progress.total if measured else None,
                bar_format="{desc} |{bar:20}|" if measured else "{desc}",
                file=sys.stderr,
                leave=False,
            )
        if measured:
            self._bar.total, self._bar.n = progress.total, min(progress.done, progress.total)
        self._bar.set_description_str(sentence(progress))  # draws it, too

    def close(self) -> None:
        """Remove it; the next progress draws a new one."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
