"""How well the embedded model hears, sees, watches, speaks and takes a voice, on held-out data.

    python -m benchmarks.nano_quality --json quality.json
    python -m benchmarks.nano_quality --rows image_qa,zh_image_qa --items 40
    python -m benchmarks.nano_quality --natural

Everything goes through the engine as in the app: sounds, pictures and clips as files, the
checkpoint's own settings, a fixed seed for each question. espeak-ng must be installed. Rows can be
measured one by one: --json keeps the other rows of its file. The first rows are in percent;
speech_wer is an error, the others are shares of right answers. Where a row was measured on fewer
than 200 items its note says so.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from benchmarks.lib.bounds import QUALITY, chinese_bound
from benchmarks.lib.machine import about_machine, sentence
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Row, read_json, write_json
from benchmarks.quality.natural.rows import NATURAL
from benchmarks.quality.natural.rows import measure as measure_natural
from benchmarks.quality.quality_rows import ENOUGH, ROWS, TIMES, Bench, Measured, measure
from benchmarks.quality.talking import Talker
from finetune.nano.domain.width import DomainWidth
from finetune.nano.speech.synthesis import espeak_version
from omni.engine import Engine
from omni.errors import OmniError
from omni.settings import EngineSettings, with_adapter

ALL_ROWS = (*ROWS, *NATURAL)
SIDED = tuple(name for name in ROWS if name not in TIMES)  # there are questions of each side


def parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = flags_parser(
        __doc__, json_help="write the rows to this file; other rows in it are kept"
    )
    add = parser.add_argument
    add("--model", default="nano", help="nano, a folder, or a name on the Hugging Face Hub")
    add("--adapter", help="of the model: the folder of an adapter or of a training")
    add("--device", default="cpu", help="auto, cpu, mps, cuda, cuda:N")
    add(
        "--width",
        choices=get_args(DomainWidth),
        default="core",
        help="how wide the domain is that the questions come from",
    )
    add(
        "--split",
        choices=("validation", "test"),
        default="test",
        help="the side of the questions; by validation's a training's settings are chosen",
    )
    add("--items", type=int, default=ENOUGH, help="items in each row; take fewer for a quick look")
    add("--rows", default="", metavar="NAMES", help=f"some of {','.join(ALL_ROWS)}")
    add(
        "--natural", action="store_true", help="measure the rows of natural speech (docs/voices.md)"
    )
    add("--answers", type=Path, metavar="FILE", help="write every answer there, as JSON lines")
    return parser


def checked(program: argparse.ArgumentParser, flags: argparse.Namespace) -> argparse.Namespace:
    """``flags`` complete; the parser refuses what makes no sense."""
    usual = NATURAL if flags.natural else ROWS if flags.split == "test" else SIDED
    flags.rows = [name for name in flags.rows.split(",") if name] or list(usual)
    if set(flags.rows) - set(ALL_ROWS):
        program.error(f"--rows knows {', '.join(ALL_ROWS)}")
    if flags.split != "test" and set(flags.rows) - set(SIDED):
        program.error(f"--split {flags.split} knows {', '.join(SIDED)}")
    if flags.items < 1:
        program.error("--items must be 1 or more")
    return flags


def kept_rows(file: Path | None, what: Mapping[str, str]) -> dict[str, Row]:
    """The rows of an earlier run, if there is one.

    Raises:
        ValueError: it measured another model or width.
    """
    if file is None or not file.is_file():
        return {}
    rows, known = read_json(file)
    about = {"split": "test", **known}  # older files do not name it
    other = [
        f"{name} {about.get(name)}" for name, value in what.items() if about.get(name) != value
    ]
    if other:
        raise ValueError(f"{file} is of {', '.join(other)}: write to another file")
    return {row.name: row for row in rows}


def as_row(name: str, found: Measured) -> Row:
    """A measurement without its bound."""
    few = f"; only {found.items} items" if found.items < ENOUGH else ""
    return Row(name, found.value, note=found.note + few)


def bounded(rows: Iterable[Row]) -> list[Row]:
    """The rows in the table's order with their bounds; the Chinese ones look at the English."""
    known = {row.name: row for row in rows}
    found = []
    for name in ALL_ROWS:
        if name not in known:
            continue
        row, bound = known[name], QUALITY.get(name)
        if bound is None:
            english = name.removeprefix("zh_")
            value = known[english].value if english in known else None
            bound = chinese_bound(english, value if isinstance(value, int | float) else None)
        found.append(Row(name, row.value, bound, row.note))
    return found


def measured(bench: Bench, names: Sequence[str]) -> Iterable[Row]:
    """The rows as they come, told on the way."""
    for name in names:
        began = time.perf_counter()
        taken = measure_natural if name in NATURAL else measure
        row = as_row(name, taken(bench, name))
        took = time.perf_counter() - began
        print(f"{name} {row.cells()[1]} {row.note} ({took:.0f} s)", file=sys.stderr, flush=True)
        yield row


def loaded_engine(flags: argparse.Namespace) -> Engine:
    """An engine with the model of the flags in memory."""
    settings = EngineSettings(model=flags.model, device=flags.device)
    if flags.adapter:
        settings = with_adapter(settings, flags.adapter)
    engine = Engine(settings)
    for _ in engine.load():
        pass
    return engine


def main(arguments: Sequence[str] | None = None, engine: Engine | None = None) -> int:
    """Measure, print, write; 1 where a bound is missed or a row has no value.

    Args:
        engine: measured instead of the one of the flags; for tests.
    """
    program = parser()
    flags = checked(program, program.parse_args(arguments))
    command = command_of("benchmarks.nano_quality", arguments)
    try:
        rows = table_of(flags, engine, command)
    except (OmniError, ValueError) as error:
        program.error(str(error))
    return 0 if all(row.ok for row in rows) else 1


def table_of(flags: argparse.Namespace, engine: Engine | None, command: str) -> list[Row]:
    """Measure, print, write; the rows, those of earlier runs in the same file too.

    Raises:
        OmniError: espeak-ng or the model is missing.
        ValueError: the file is of another model or width.
    """
    model = " with ".join(name for name in (flags.model, flags.adapter) if name)
    what = {"model": model, "width": flags.width, "split": flags.split}
    rows = kept_rows(flags.json, what)
    about = about_machine()
    print(sentence(about), file=sys.stderr)
    espeak_version()  # told now, not after minutes
    engine = engine or loaded_engine(flags)
    about["threads"] = about_machine()["threads"]  # the load sets them
    trained = engine.report is None or engine.report.trained
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Talker(engine, Path(folder)), flags.width, flags.items, split=flags.split)
        for row in measured(bench, flags.rows):
            rows[row.name] = row
            if flags.json:  # at once: a run that breaks off has not run for nothing
                done = bounded(rows.values())
                write_json(flags.json, done, machine=about, command=command, **what)
    if flags.answers:
        write_answers(flags.answers, bench)
    shown = bounded(rows.values())
    print(file=sys.stderr)
    report(shown, about, command, headline=headline(flags, trained))
    return shown


def headline(flags: argparse.Namespace, trained: bool) -> str:
    """What was measured."""
    few = f", side {flags.split}" if flags.split != "test" else ""
    few += f"; {flags.items} items a row are FEWER THAN {ENOUGH}" if flags.items < ENOUGH else ""
    untrained = "; its weights are random: it was NOT TRAINED" if not trained else ""
    model = f"{flags.model} with {flags.adapter}" if flags.adapter else flags.model
    return f"model {model}, width {flags.width} of the domain{few}{untrained}"


def write_answers(file: Path, bench: Bench) -> None:
    """Every answer of this run: row, what was wanted, what came, whether it is right."""
    lines: list[Any] = [json.dumps(asdict(entry), ensure_ascii=False) for entry in bench.records]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
