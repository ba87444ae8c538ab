"""Quantized once: the first load, which keeps its few bits, beside the second, which reads them.

    python -m benchmarks.kept --config mid
    python -m benchmarks.kept --config full --folder /disk/full     # 22 GB written, kept there

Writes a checkpoint of random weights (or takes the one that is in --folder), and loads it three
times, each in a process of its own and with the files out of the system's cache: as it is, and
quantized while it is read; with --keep-quantized; and again, from what is kept. The rows tell
seconds by phase, bytes that were read from the disk, the peak of the memory, and whether the text
scores are the same, bit for bit. Bytes and the emptied cache are Linux's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.full_size.written import write_checkpoint
from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Row
from benchmarks.speed.random_model import read_config
from benchmarks.speed.turns import peak_bytes
from omni.loading.kept.shelf import VARIABLE
from omni.settings import EngineSettings

LOADS = (("first", False), ("keeping", True), ("second", False))
POSITIONS = 16  # of the text whose scores are compared


def load_once(settings: EngineSettings) -> dict[str, Any]:
    """Load in this process; what the parent wants to know."""
    import torch

    from omni.assistant import load_assistant

    loading = load_assistant(settings, lambda: None)
    while True:
        try:
            next(loading)
        except StopIteration as end:
            assistant = end.value
            break
    told, peak, read = assistant.report, peak_bytes("cpu"), _read_bytes()
    with torch.inference_mode():
        scores = assistant.loaded.model(input_ids=torch.arange(POSITIONS)[None] + 300).logits
    values = scores.float().cpu().numpy().tobytes()
    return {
        "load_s": told.load_s,
        "phases": dict(told.phases),
        "kept": told.kept,
        "peak_bytes": peak,
        "planned_bytes": told.planned_bytes,
        "keep_bytes": told.keep_bytes,
        "read_bytes": read,
        "scores": hashlib.sha256(values).hexdigest(),
    }


def _read_bytes() -> int | None:
    """What this process has read from the disk itself; None: the system does not tell."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def forget_files(folder: Path) -> None:
    """Take the files below ``folder`` out of the system's cache, where it can be asked for that."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(flags: argparse.Namespace) -> Iterator[Row]:
    """The rows of the three loads."""
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=flags.scratch)))
        folder = flags.folder or top / "checkpoint"
        if not (folder / "config.json").is_file():
            write_checkpoint(folder, *read_config(flags.config))
        if flags.folder is None:
            stack.callback(shutil.rmtree, folder)
        shelf = top / "kept"
        seen: dict[str, dict[str, Any]] = {}
        for name, keep in LOADS:
            forget_files(folder)
            if shelf.is_dir():
                forget_files(shelf)
            seen[name] = _in_a_process(flags, folder, shelf, keep)
            yield from _rows(name, seen[name])
        size = sum(path.stat().st_size for path in shelf.rglob("*") if path.is_file())
        yield Row(
            "kept_gb", size / 1e9, note=f"said {seen['first']['keep_bytes'] / 1e9:.3g} before"
        )
        yield from _verdicts(seen)


def _verdicts(seen: dict[str, dict[str, Any]]) -> Iterator[Row]:
    """What the loads say about each other."""
    first, second = seen["first"], seen["second"]
    same = len({one["scores"] for one in seen.values()}) == 1
    note = f"text scores of {POSITIONS} positions, bit for bit"
    yield Row("scores", "equal" if same else "different", note=note)
    used = [name for name, one in seen.items() if one["kept"]]
    yield Row("from_what_is_kept", ", ".join(used), note="of the three loads")
    yield Row("second_over_first", second["load_s"] / first["load_s"])


def _rows(name: str, seen: dict[str, Any]) -> Iterator[Row]:
    phases = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in seen["phases"].items())
    yield Row(f"{name}.load_s", seen["load_s"], note=phases)
    read = seen["read_bytes"]
    yield Row(f"{name}.read_gb", None if read is None else read / 1e9, note="from the disk")
    planned = f"planned {seen['planned_bytes'] / 1e9:.3g}"
    yield Row(f"{name}.peak_gb", seen["peak_bytes"] / 1e9, note=planned)


def _in_a_process(
    flags: argparse.Namespace, folder: Path, shelf: Path, keep: bool
) -> dict[str, Any]:
    """One load.

    Raises:
        RuntimeError: it broke off.
    """
    bits = f"{flags.bits}bit"
    settings = {
        "model": str(folder),
        "quantization": bits,
        "device": flags.device,
        "dtype": flags.dtype,
        "keep_quantized": keep,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kept", "--load", json.dumps(settings)],
        env=os.environ | {VARIABLE: str(shelf)},
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"loading broke off with {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = flags_parser(__doc__)
    parser.add_argument("--config", default="mid", help="sizes: nano, mid or full")
    parser.add_argument("--folder", type=Path, help="a checkpoint; written there if it is not")
    parser.add_argument("--scratch", type=Path, help="for what goes at the end (a disk with room)")
    parser.add_argument("--bits", type=int, choices=(4, 8), default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--load", help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    if flags.load:
        print(json.dumps(load_once(EngineSettings(**json.loads(flags.load)))))
        return 0
    command = command_of("benchmarks.kept", arguments)
    return report(list(measure(flags)), about_machine(), command, flags.json)


if __name__ == "__main__":
    sys.exit(main())
