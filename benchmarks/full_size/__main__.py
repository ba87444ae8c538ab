"""The published size on this machine: written, loaded and used as any other checkpoint.

    python -m benchmarks.full_size --keep
    python -m benchmarks.full_size --config mid --plans none,4bit --json mid.json

Writes a checkpoint of random weights in the published layout (22 GB; the disk is looked at first)
unless --folder has one, loads it under each plan in a process of its own and runs a typed, a
spoken, a picture and a clip turn. A plan for which there is no memory says so and the rest is done;
so does a part that fails, or that says nothing for longer than its time. Rows are printed, and
appended to --lines, as they come.

Random weights have no outliers and say nothing; their sizes, and so times and memory, are those of
the published model.
"""

from __future__ import annotations

import argparse
import json
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import IO

from benchmarks.full_size.part import TURN_BEGINS, TURNS, add_flags, asked
from benchmarks.full_size.written import write_checkpoint
from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Row, shown
from benchmarks.speed.random_model import read_config
from omni.errors import OmniError

PLANS = ("none", "8bit", "4bit")
GRACE_S = 60.0  # a turn that was to stop, or a load, may say nothing for so much longer
LOAD_SILENCE_S = 600.0
KILLED = -9  # how a process ends that the system has killed
TOLD_BYTES = 1_000_000_000  # of a checkpoint that is written, between two lines


def parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = flags_parser(__doc__)
    add = parser.add_argument
    add("--config", default="full", choices=("full", "mid", "nano"), help="sizes to write")
    add(
        "--folder",
        type=Path,
        help="where the checkpoint is, or is written if nothing is there (a temporary folder)",
    )
    add("--tokenizer", type=Path, metavar="FOLDER", help="whose files to use (made-up words)")
    add("--keep", action="store_true", help="leave the checkpoint that was written")
    add("--plans", default=",".join(PLANS), metavar="NAMES", help=f"some of {','.join(PLANS)}")
    add("--lines", type=Path, metavar="FILE", help="append each row there as it comes")
    add(
        "--limit",
        type=float,
        default=3600.0,
        metavar="SECONDS",
        help="after so long a plan is ended",
    )
    add_flags(parser)
    return parser


def checked(program: argparse.ArgumentParser, flags: argparse.Namespace) -> argparse.Namespace:
    """``flags`` complete; the parser refuses what is none."""
    for name, known in (("plans", PLANS), ("turns", TURNS)):
        wanted = [one for one in getattr(flags, name).split(",") if one]
        if not wanted or set(wanted) - set(known):
            program.error(f"--{name} knows {', '.join(known)}")
        setattr(flags, name, wanted)
    try:
        asked(flags)
    except ValueError:
        program.error(f"--picture is WIDTHxHEIGHT, as 640x480, not {flags.picture}")
    return flags


class Written:
    """The checkpoint for as long as it is needed; used as a context."""

    def __init__(self, flags: argparse.Namespace) -> None:
        self._flags = flags
        self._temporary: Path | None = None
        self.folder: Path = flags.folder
        self.rows: list[Row] = []
        self._own = False

    def __enter__(self) -> Written:
        flags = self._flags
        if flags.folder is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="full-size-"))
            self.folder = self._temporary / flags.config
        if (self.folder / "config.json").is_file():
            return self
        self._own = True
        try:
            self._write()
        except BaseException:
            self._remove()
            raise
        return self

    def _write(self) -> None:
        flags, told = self._flags, 0

        def tell(done: int, total: int) -> None:
            """Now and then."""
            nonlocal told
            if done - told >= TOLD_BYTES or done == total:
                told = done
                say(f"writing {self.folder}: {done / 1e9:.1f} of {total / 1e9:.1f} GB")

        started = time.perf_counter()
        write_checkpoint(self.folder, *read_config(flags.config), flags.tokenizer, tell)
        size = sum(file.stat().st_size for file in self.folder.iterdir())
        self.rows.append(Row("written_gb", size / 1e9, note="random weights, bfloat16"))
        self.rows.append(Row("written_s", time.perf_counter() - started))

    def _remove(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        elif self._own:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __exit__(self, *error: object) -> None:
        if self._own and self._flags.keep:
            say(f"the checkpoint stays in {self.folder}: use it again with --folder {self.folder}")
        elif self._own:
            self._remove()


def say(text: str) -> None:
    """To the person who waits."""
    print(text, file=sys.stderr, flush=True)


def plan_rows(flags: argparse.Namespace, plan: str, folder: Path) -> Iterator[Row]:
    """All rows of a plan; a turn that hangs is given up with its process, and the rest is done."""
    turns = list(flags.turns)
    again = False
    while turns:
        hung = yield from _part_rows(flags, plan, folder, turns, again)
        if hung is None:
            return
        turns, again = turns[turns.index(hung) + 1 :], True


def _part_rows(
    flags: argparse.Namespace, plan: str, folder: Path, turns: Sequence[str], again: bool
) -> Generator[Row, None, str | None]:
    """The rows of one process; returns the turn in which it hung, None where the rest is vain.

    Args:
        again: the rows of the load are known already.
    """
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.full_size.part"]
    command += ["--folder", str(folder), "--quantization", plan, "--turns", ",".join(turns)]
    command += _passed_on(flags)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = _lines(process.stdout)
    deadline, turn = time.monotonic() + flags.limit, None
    try:
        while True:
            silence = LOAD_SILENCE_S if turn is None else flags.turn_limit
            left = deadline - time.monotonic()
            try:
                line = lines.get(timeout=max(0.0, min(silence + GRACE_S, left)))
            except queue.Empty:
                what = f"{turn} turn" if turn else "load"
                late = left < silence + GRACE_S
                why = f"the plan had {flags.limit:g} s" if late else "said nothing for too long"
                yield Row(f"{turn or 'load'}.total_s", None, note=f"the {what} was ended: {why}")
                return None if late else turn
            if line is None:
                break
            content = json.loads(line)
            if isinstance(content, str):
                say(f"{plan}: {content}")
                if content.startswith(TURN_BEGINS):
                    turn = content.removeprefix(TURN_BEGINS)
            elif not again or turn is not None or content["value"] is None:
                yield Row.from_json(content)
        if process.wait():
            what = f"{turn} turn" if turn else "load"
            note = f"the process ended with {process.returncode} in the {what}"
            if process.returncode == KILLED:
                note = f"the system killed the process in the {what}: memory ran out, as a rule"
            yield Row(f"{turn or 'load'}.total_s", None, note=note)
            return turn
    finally:
        process.kill()
        process.wait()
    return None


def _passed_on(flags: argparse.Namespace) -> list[str]:
    """The flags that a part has, too."""
    names = (
        "device",
        "dtype",
        "text_tokens",
        "frames",
        "question",
        "picture",
        "clip",
        "turn_limit",
    )
    pairs = [(f"--{name.replace('_', '-')}", str(getattr(flags, name))) for name in names]
    return [word for pair in pairs for word in pair]


def _lines(stream: IO[str]) -> queue.SimpleQueue[str | None]:
    """Its lines as they come, None at its end."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        """Until the process ends."""
        for line in stream:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, name="full-size-lines", daemon=True).start()
    return lines


def measure(flags: argparse.Namespace) -> Iterator[Row]:
    """The checkpoint, then all plans; each row named after its plan."""
    with Written(flags) as written:
        yield from written.rows
        for plan in flags.plans:
            for row in plan_rows(flags, plan, written.folder):
                yield Row(f"{plan}.{row.name}", row.value, row.bound, row.note)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write, load, run, tell."""
    program = parser()
    flags = checked(program, program.parse_args(arguments))
    about = about_machine()
    rows = []
    try:
        for row in measure(flags):
            say(f"{row.name} {shown(row.value)}  {row.note}".rstrip())
            rows.append(row)
            if flags.lines:
                with flags.lines.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row.to_json()) + "\n")
    except (OmniError, OSError) as error:
        say(str(error))
        return 1
    return report(rows, about, command_of("benchmarks.full_size", arguments), flags.json)


if __name__ == "__main__":
    sys.exit(main())
