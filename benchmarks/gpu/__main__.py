"""Everything that is to be known of a GPU, by one command that needs no one beside it.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --device cpu --config mid     # tries all of it where no GPU is

Tests marked gpu; the full shape with random weights in 16, 8 and 4 bits: load, peak memory beside
the plan, first text, first sound with what it went into, speeds; captured steps on and off, and
whether they give the same; the second stream on and off; the published way; nano; golden numbers.
Each part is a process of its own with its own time limit; what it measures is appended to --out as
a line of JSON as it is known. A part that fails or takes too long is told, and the rest is done.
Ends with 1 where one did, or where a bound is missed. At most eight minutes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.gpu.lines import DONE, Results
from benchmarks.gpu.schedule import NAMES, PARTS, run_parts
from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, report

MODULE = "benchmarks.gpu"
MINUTES = 8.0
PATIENCE = 6.0  # on a CPU, where nobody pays by the minute
LIBRARIES = ("transformers", "bitsandbytes", "accelerate", "numpy")


def parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {MODULE}",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("gpu.jsonl"), metavar="FILE", help="default: gpu.jsonl")
    add("--device", default="cuda", help="cuda (default), cuda:N, or cpu to try the program")
    add("--config", default="full", choices=("full", "mid", "nano"), help="default: full")
    add("--only", default="", metavar="PARTS", help=f"some of {','.join(NAMES)}")
    add("--minutes", type=float, help=f"for all parts; default: {MINUTES:g}, on a CPU no limit")
    add(
        "--golden",
        nargs="*",
        default=["tests/golden"],
        metavar="PATH",
        help="the tests of golden numbers; default: tests/golden",
    )
    add("--quick", action="store_true", help="turns of a second, to try the program")
    add("--part", choices=NAMES, help=argparse.SUPPRESS)  # this process is that part
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all parts, or be one of them."""
    program = parser()
    flags = program.parse_args(arguments)
    results = Results(flags.out.resolve())
    if flags.part:
        return be_part(flags, results)
    wanted = [name for name in flags.only.split(",") if name]
    if set(wanted) - set(NAMES):
        program.error(f"--only knows {', '.join(NAMES)}")
    if flags.device.startswith("cuda") and not torch.cuda.is_available():
        program.error("torch finds no CUDA device here; --device cpu --config mid tries it all")
    on_gpu = flags.device.startswith("cuda")
    results.path.unlink(missing_ok=True)
    about = about_all()
    command = command_of(MODULE, arguments)
    results.add("machine", "", command=command, **about)
    parts = [part for part in PARTS if part.name in wanted or not wanted]
    own = ["--out", str(results.path), "--device", flags.device, "--config", flags.config]
    own += ["--golden", *flags.golden, *(["--quick"] if flags.quick else [])]
    minutes = flags.minutes or (MINUTES if on_gpu else MINUTES * PATIENCE)
    run_parts(
        parts,
        lambda name: [sys.executable, "-W", "ignore", "-m", MODULE, *own, "--part", name],
        results,
        60 * minutes,
        1.0 if on_gpu else PATIENCE,
    )
    missed = report(results.rows(), about, command)
    bad = {name: how for name, how in results.ends().items() if how != DONE}
    for name, how in bad.items():
        print(f"{name}: {how}")
    print(f"written to {results.path}")
    return 1 if bad else missed


def be_part(flags: argparse.Namespace, results: Results) -> int:
    """Measure one part; its rows are in the file as they come."""
    from benchmarks.gpu.parts import What, part_rows

    what = What(flags.device, flags.config, tuple(flags.golden), flags.quick)
    for row in part_rows(flags.part, what):
        results.add_row(flags.part, row)
        print(f"{row.name} {row.cells()[1]}  {row.note}", flush=True)
    return 0


def about_all() -> dict[str, object]:
    """The machine, and the versions of what matters here."""
    about = about_machine()
    for name in LIBRARIES:
        try:
            about[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            about[name] = "not installed"
    if torch.cuda.is_available():
        about["cuda"] = torch.version.cuda
        about["gpu_memory_gb"] = round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1)
    return about


if __name__ == "__main__":
    sys.exit(main())
