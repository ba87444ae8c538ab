"""``python -m finetune compare``: held-out rows, asked before and after.

Knows: what is told of each row and of all together. Does not know: how a row is asked
(:mod:`finetune.lora.asking`), training.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from finetune.flags import Commands, say
from finetune.lora.asking import Wanted, ask, heard_as, print_of, wanted
from finetune.lora.data.rows import Row, read_rows
from finetune.lora.options import TrainingError
from finetune.measures.likeness import VoicePrint
from omni.engine import Engine
from omni.events import SPEECH_RATE
from omni.media.wav import write_wav
from omni.settings import QUANTIZATIONS, EngineSettings, with_adapter

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Answer:
    """What came back for a row."""

    text: str
    right: bool  # word for word
    voice: str | None = None  # of a spoken one, where voices are compared: the name of the nearest


@dataclass(frozen=True)
class Answered:
    """One row, before and after."""

    row: str
    wanted: str
    spoken: bool  # it was to be spoken
    before: Answer
    after: Answer


@dataclass(frozen=True)
class Compared:
    """All rows."""

    rows: tuple[Answered, ...]
    voice: str | None = None  # the one that answers should have, where voices are compared

    def lines(self) -> Iterator[str]:
        """What a person reads: every row, then the sums."""
        for row in self.rows:
            yield f"{row.row}  wanted: {row.wanted}"
            for what, answer in (("before", row.before), ("after", row.after)):
                voice = f"  [{answer.voice}]" if answer.voice else ""
                yield f"  {what:6} {'right' if answer.right else 'wrong'}  {answer.text}{voice}"
        yield ""
        total = len(self.rows)
        before, after = (sum(answer.right for answer in side) for side in self._sides())
        yield f"right answers: {before} of {total} before, {after} of {total} after"
        if self.voice is not None:
            spoken = sum(row.spoken for row in self.rows)
            old, new = self.in_voice
            yield f"nearest to {self.voice}: {old} of {spoken} before, {new} of {spoken} after"

    @property
    def in_voice(self) -> tuple[int, int]:
        """How many answers are nearest to the voice, before and after."""
        old, new = self._sides()
        return sum(a.voice == self.voice for a in old), sum(a.voice == self.voice for a in new)

    def _sides(self) -> tuple[list[Answer], list[Answer]]:
        return [row.before for row in self.rows], [row.after for row in self.rows]


def compare(
    rows: Sequence[Row],
    before: EngineSettings,
    after: EngineSettings,
    voices: Sequence[Path] = (),
    tell: Tell = lambda line: None,
    sounds: Path | None = None,
) -> Compared:
    """Ask one model, then the other; adapters of one model are switched without a load.

    Args:
        voices: recordings, one a voice; the first is the one that answers should have.
        sounds: folder for spoken answers: ``before/0001.wav`` is the first row's.

    Raises:
        OmniError: a model or a file cannot be used.
    """
    asked = [wanted(row) for row in rows]
    known = {path.stem: print_of([path]) for path in voices}
    engine = Engine(before)
    answers: list[list[Answer]] = []
    for name, settings in (("before", before), ("after", after)):
        for _ in engine.load(settings):
            pass
        heard = sounds / name if sounds else None
        answers.append(list(_answers(engine, asked, known, partial(_tell_of, tell, name), heard)))
    found = [
        Answered(one.name, one.text, one.speech, old, new)
        for one, old, new in zip(asked, *answers, strict=True)
    ]
    return Compared(tuple(found), next(iter(known), None))


def _tell_of(tell: Tell, which: str, line: str) -> None:
    tell(f"{which}: {line}")


def _answers(
    engine: Engine,
    asked: Sequence[Wanted],
    known: dict[str, VoicePrint],
    tell: Tell,
    sounds: Path | None,
) -> Iterator[Answer]:
    names = list(known)
    for number, one in enumerate(asked):
        found = ask(engine, one, number)
        if sounds and len(found.wave):
            sounds.mkdir(parents=True, exist_ok=True)
            write_wav(sounds / f"{number + 1:04d}.wav", found.wave, SPEECH_RATE)
        voice = heard_as(found.wave, list(known.values())) if one.speech and known else None
        yield Answer(found.text, found.right, None if voice is None else names[voice])
        if (number + 1) % 20 == 0:
            tell(f"{number + 1} of {len(asked)} rows")


def add(commands: Commands) -> argparse.ArgumentParser:
    """The command and its flags."""
    command = commands.add_parser("compare", help="held-out rows, asked before and after")
    add_argument = command.add_argument
    add_argument("--data", type=Path, required=True, help="rows that were not learnt")
    add_argument("--model", default="auto", help="the checkpoint that was trained on")
    add_argument("--adapter", help="what was learnt: the folder of an adapter or of a run")
    add_argument("--after", metavar="MODEL", help="instead of --adapter: a merged checkpoint")
    add_argument("--quantization", choices=QUANTIZATIONS, default="auto", help="of the weights")
    add_argument("--device", default="auto", help="auto, cpu, mps, cuda, cuda:N")
    add_argument(
        "--voices",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="recordings, one a voice: spoken answers are told by the nearest; the first is the "
        "one that they should have",
    )
    add_argument(
        "--sounds",
        type=Path,
        metavar="FOLDER",
        help="write spoken answers there, before/ and after/, named by the number of the row",
    )
    add_argument("--items", type=int, metavar="N", help="the first N rows only")
    add_argument("--json", type=Path, metavar="FILE", help="write all answers to this file too")
    return command


def run(flags: argparse.Namespace) -> int:
    """Compare, and print."""
    if (flags.adapter is None) == (flags.after is None):
        raise TrainingError("compare-what", "Give --adapter or --after: what to compare with.")
    found = read_rows(flags.data)
    for row in found.bad:
        say(f"left out: {row}")
    rows = found.rows[: flags.items]
    before = EngineSettings(flags.model, flags.quantization, flags.device)
    if flags.adapter is not None:
        after = with_adapter(before, flags.adapter)
    else:
        after = EngineSettings(flags.after, flags.quantization, flags.device)
    compared = compare(rows, before, after, flags.voices, say, flags.sounds)
    for line in compared.lines():
        print(line)
    if flags.json:
        text = json.dumps(asdict(compared), ensure_ascii=False, indent=1)
        flags.json.write_text(text + "\n", encoding="utf-8")
    return 0
