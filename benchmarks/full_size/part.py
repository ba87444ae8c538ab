"""One plan, in a process of its own: loads a checkpoint as a user does and runs the turns.

    python -m benchmarks.full_size.part --folder FOLDER --quantization 4bit

Each row is written to standard output as a line of JSON when it is known; what is under way, as a
line of JSON that is a string.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lib.rows import Row
from benchmarks.speed.question import write_question
from benchmarks.speed.shown import write_clip, write_picture
from benchmarks.speed.turns import TYPED, Lengths, peak_bytes, reset_peak
from omni.conversation import Audio, Conversation, Image, Message, Part, Text, Video
from omni.engine import Engine
from omni.errors import OmniError
from omni.events import TurnEnd, TurnStats
from omni.loading.progress.sentence import sentence
from omni.settings import EngineSettings, LoadReport

TURNS = ("typed", "spoken", "picture", "clip")
TURN_BEGINS = "turn: "  # how the line begins that tells it
TOLD_S = 5.0  # how often the progress of a load is told


@dataclass(frozen=True)
class Asked:
    """What the turns are like."""

    lengths: Lengths
    question_s: float  # of the spoken question
    picture: tuple[int, int]  # width and height
    clip_s: float
    turn_s: float  # after so long a turn is stopped


def parser() -> argparse.ArgumentParser:
    """The flags of one plan."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True, help="the checkpoint")
    parser.add_argument("--quantization", default="none")
    add_flags(parser)
    return parser


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that the program and its parts share."""
    add = parser.add_argument
    add("--device", default="auto", help="auto, cpu, mps, cuda, cuda:N")
    add("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"))
    add("--turns", default=",".join(TURNS), metavar="NAMES", help=f"some of {','.join(TURNS)}")
    add("--text-tokens", type=int, default=8, help="text tokens before the speech of a turn")
    add("--frames", type=int, default=12, help="frames of 80 ms of speech in a turn")
    add("--question", type=float, default=3.0, metavar="SECONDS", help="the spoken question")
    add("--picture", default="1600x1125", metavar="WxH", help="the picture that is shown")
    add("--clip", type=float, default=4.0, metavar="SECONDS", help="the clip that is shown")
    add(
        "--turn-limit",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="after so long a turn is stopped",
    )


def asked(flags: argparse.Namespace) -> Asked:
    """The turns of the flags.

    Raises:
        ValueError: a picture that is no WxH.
    """
    width, height = (int(number) for number in flags.picture.split("x"))
    lengths = Lengths(flags.text_tokens, flags.frames, 1)
    return Asked(lengths, flags.question, (width, height), flags.clip, flags.turn_limit)


def measure(
    engine: Engine, asked: Asked, turns: Sequence[str], tell: Callable[[str], None]
) -> Iterator[Row]:
    """The rows of one plan, one after the other as they are known."""
    told = 0.0
    started = time.perf_counter()
    try:
        for progress in engine.load():
            if time.perf_counter() - told > TOLD_S:
                told = time.perf_counter()
                tell(sentence(progress))
    except OmniError as error:
        yield Row("load_s", None, note=str(error))
        return
    waited = time.perf_counter() - started
    report = engine.report
    assert report is not None
    yield from load_rows(report, waited)
    with tempfile.TemporaryDirectory() as folder:
        for name in turns:
            tell(f"{TURN_BEGINS}{name}")
            yield from turn_rows(engine, name, conversation(name, asked, Path(folder)), asked)
            peak = peak_bytes(report.device) / 1e9
            yield Row(f"{name}.peak_gb", peak, note="the most until then")


def load_rows(report: LoadReport, waited_s: float) -> Iterator[Row]:
    """What loading took: seconds by phase, memory beside the estimate."""
    yield Row("load_s", waited_s, note=f"{report.dtype}, {report.plan}, on {report.device}")
    for phase, seconds in report.phases:
        yield Row(f"load.{phase}_s", seconds)
    yield Row("planned_gb", report.planned_bytes / 1e9, note=report.memory_reason)
    yield Row("loaded_gb", report.memory_bytes / 1e9, note="held when it was loaded")
    yield Row("load.peak_gb", peak_bytes(report.device) / 1e9, note="the most until then")
    reset_peak(report.device)


def conversation(name: str, asked: Asked, folder: Path) -> Conversation:
    """What the turn ``name`` asks."""
    if name == "typed":
        return TYPED
    parts: tuple[Part, ...]
    if name == "spoken":
        parts = (Audio(write_question(folder / "question.wav", asked.question_s)),)
    elif name == "picture":
        picture = write_picture(folder / "picture.png", *asked.picture)
        parts = (Image(picture), Text("What do you see?"))
    else:
        clip = write_clip(folder / "clip.mp4", asked.clip_s)
        parts = (Video(clip), Text("What happens here?"))
    return Conversation(messages=(Message("user", parts),))


def turn_rows(engine: Engine, name: str, conversation: Conversation, asked: Asked) -> Iterator[Row]:
    """A turn's times and speeds; one row that says so where it fails or takes too long."""
    stop = threading.Event()
    timer = threading.Timer(asked.turn_s, stop.set)
    timer.start()
    end: TurnEnd | None = None
    try:
        for event in engine.turn(conversation, asked.lengths.options(), stop):
            if isinstance(event, TurnEnd):
                end = event
    except OmniError as error:
        yield Row(f"{name}.total_s", None, note=str(error))
        return
    finally:
        timer.cancel()
    assert end is not None
    stats = end.stats
    note = f"{stats.prompt_tokens} ids asked, {stats.text_tokens} answered"
    if end.reason == "stopped":
        note = f"stopped after {asked.turn_s:g} s; {note}"
    yield Row(f"{name}.total_s", stats.total_s, note=note)
    yield from _speeds(name, stats)


def _speeds(name: str, stats: TurnStats) -> Iterator[Row]:
    yield Row(f"{name}.encode_s", stats.encode_s)
    yield Row(f"{name}.prefill_s", stats.prefill_s)
    yield Row(f"{name}.first_text_s", stats.first_text_s)
    yield Row(f"{name}.first_sound_s", stats.first_sound_s, note=f"{stats.speech_s:.1f} s in all")
    yield Row(f"{name}.text_tokens_per_s", stats.text_tokens_per_s)
    frames = stats.audio_frames / stats.audio_s if stats.audio_s else None
    yield Row(f"{name}.audio_frames_per_s", frames, note="12.5 is real time")


def main(arguments: Sequence[str] | None = None) -> int:
    """Load, run, write a line a row."""
    flags = parser().parse_args(arguments)
    settings = EngineSettings(
        model=flags.folder,
        quantization=flags.quantization,
        device=flags.device,
        dtype=flags.dtype,
    )

    def tell(what: object) -> None:
        """To whoever reads our output."""
        print(json.dumps(what), flush=True)

    for row in measure(Engine(settings), asked(flags), flags.turns.split(","), tell):
        tell(row.to_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
