"""Runs the benchmarks and writes their tables into docs/performance.md.

    python -m benchmarks.report

Takes 5 to 15 minutes on two cores; nothing else should run meanwhile. The published size
on the CPU (an hour, and 22 GB of disk) is measured where --only names it: `--only full-size`. With
a GPU that holds the published model, its rows are measured too. Each run is a process of its own
and leaves a JSON file in --results; --from-results writes the tables of files that are there,
without measuring.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lib.machine import sentence
from benchmarks.lib.rows import read_json, rows_markdown

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "performance.md"
GPU_BYTES = 30e9  # that the published model needs in 16 bits, with room


@dataclass(frozen=True)
class Job:
    """A table of the document and the command that measures it."""

    name: str  # between the markers
    module: str
    flags: str
    gpu: bool = False
    named: bool = False  # it takes long: only where --only names it

    @property
    def command(self) -> list[str]:
        """As a process."""
        return [sys.executable, "-W", "ignore", "-m", self.module, *self.flags.split()]


_LATENCY = "benchmarks.latency"
_NANO = "--config nano --random-weights --device cpu"  # turns of a fixed length
_MID = "--config mid --random-weights --device cpu"
_FULL = "--config full --random-weights --device cuda --dtype bfloat16"
_SLOW = "machine,load,text,audio,turn,memory"
_FAST = f"--only {_SLOW}"
JOBS = (
    Job("nano", _LATENCY, f"{_NANO} --dtype float32 --naive --only {_SLOW},page"),
    Job("heard", "benchmarks.heard", ""),
    Job("mid-float32", _LATENCY, f"{_MID} --dtype float32 --naive --only {_SLOW}"),
    Job("mid-wave", _LATENCY, f"{_MID} --dtype float32 --naive --only machine,wave"),
    Job("mid-bfloat16", _LATENCY, f"{_MID} --dtype bfloat16 {_FAST}"),
    Job("full-size", "benchmarks.full_size", "--device cpu --turn-limit 900", named=True),
    Job("quantization", "benchmarks.quantization", "--config small"),
    Job("kept", "benchmarks.kept", "--config mid"),
    Job(
        "full-bfloat16",
        _LATENCY,
        f"{_FULL} --naive --segments 1 --only load,text,audio,turn,wave,memory",
        gpu=True,
    ),
    Job("full-8bit", _LATENCY, f"{_FULL} --quantization 8bit {_FAST}", gpu=True),
    Job("full-4bit", _LATENCY, f"{_FULL} --quantization 4bit {_FAST}", gpu=True),
)


def has_gpu() -> bool:
    """Whether a GPU here holds the published model in 16 bits."""
    import torch

    return torch.cuda.is_available() and torch.cuda.mem_get_info(0)[0] > GPU_BYTES


def run(job: Job, results: Path) -> None:
    """Measure; the rows lie in ``results`` afterwards.

    Raises:
        RuntimeError: the program broke off (a missed bound is no error).
    """
    file = results / f"{job.name}.json"
    file.unlink(missing_ok=True)
    print(f"{job.name}: python -m {job.module} {job.flags}", file=sys.stderr, flush=True)
    subprocess.run([*job.command, "--json", str(file)], cwd=ROOT, stdout=sys.stderr, check=False)
    if not file.is_file():
        raise RuntimeError(f"{job.name} gave no results")


def section(file: Path) -> str:
    """A table with its command, date and machine, as Markdown."""
    rows, about = read_json(file)
    command = re.sub(r" --(json|lines|folder) \S+", "", about["command"])  # of one machine
    return f"`{command}`\n\n{about['date']}. {sentence(about['machine'])}.\n\n{rows_markdown(rows)}"


def replaced(document: str, name: str, text: str) -> str:
    """``document`` with what stands between the markers of ``name`` replaced.

    Raises:
        ValueError: there are no such markers.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if document.count(begin) != 1 or document.count(end) != 1:
        raise ValueError(f"the document has no place for {name}")
    head, rest = document.split(begin)
    return f"{head}{begin}\n{text}\n{end}{rest.split(end)[1]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [job.name for job in JOBS]
    parser.add_argument("--only", default="", metavar="NAMES", help=f"some of {','.join(names)}")
    parser.add_argument("--results", type=Path, help="folder for the JSON files; default: none")
    parser.add_argument(
        "--from-results",
        action="store_true",
        help="write the tables from earlier results, without measuring again",
    )
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    flags = parser.parse_args(arguments)
    wanted = [name for name in flags.only.split(",") if name]
    if set(wanted) - set(names):
        parser.error(f"--only knows {', '.join(names)}")
    ours = [job.name for job in JOBS if flags.from_results or not job.named]
    jobs = [job for job in JOBS if job.name in (wanted or ours)]
    with tempfile.TemporaryDirectory() as folder:
        results = (flags.results or Path(folder)).resolve()
        results.mkdir(parents=True, exist_ok=True)
        if not flags.from_results:
            gpu = has_gpu()
            for job in jobs:
                if gpu or not job.gpu:
                    run(job, results)
        document = flags.document.read_text(encoding="utf-8")
        for job in jobs:
            file = results / f"{job.name}.json"
            if file.is_file():
                document = replaced(document, job.name, section(file))
        flags.document.write_text(document, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
