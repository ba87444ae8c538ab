"""``omni quantize``: a checkpoint in 8 or 4 bits, in a folder that can be shared.

Knows: its flags. Does not know: how weights are quantized.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from omni.cli import flags
from omni.cli.output import Bar, say, size
from omni.errors import ResourceError
from omni.events import Progress
from omni.loading.quantization import Quantization

BITS: dict[int, Quantization] = {4: "4bit", 8: "8bit"}


def add(commands: flags.Commands) -> argparse.ArgumentParser:
    """The command's own flags."""
    command = commands.add_parser(
        "quantize",
        help="write a model in 4 or 8 bits into a folder, to load it quickly or share it",
    )
    command.add_argument(
        "source", metavar="SRC", help="nano, a folder, or a name on the Hugging Face Hub"
    )
    command.add_argument("out", metavar="OUT", type=Path, help="the folder to write; a new one")
    command.add_argument(
        "--bits", type=int, choices=sorted(BITS), default=4, help="of the language model's blocks"
    )
    command.add_argument(
        "--dtype",
        default="auto",
        choices=("auto", "float32", "bfloat16", "float16"),
        help="number format of the rest (auto: the source's own)",
    )
    return command


def run(options: flags.Options) -> None:
    """Quantize part by part: needs memory for one part and no GPU."""
    started = time.perf_counter()
    out: Path = options.out.expanduser().absolute()
    check_new(out)
    with closing(Bar()) as bar:
        steps = _quantize(options, out)
        try:
            while True:
                bar.show(next(steps))
        except StopIteration as end:
            before: int = end.value
        finally:
            steps.close()
    after = sum(path.stat().st_size for path in out.iterdir())
    say(
        f"{out}: {size(after)} in {options.bits} bits, {size(before)} before; "
        f"{time.perf_counter() - started:.0f} s. Load it with --model {out}"
    )


def check_new(out: Path) -> None:
    """Nothing is overwritten.

    Raises:
        ResourceError: ``quantize-exists``.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ResourceError(
            "quantize-exists", "{path} is there already: give a folder that is new.", path=out
        )


def _quantize(options: flags.Options, out: Path) -> Generator[Progress, None, int]:
    """Bytes of the source's weights."""
    from omni import devices
    from omni.loading.kept.writing import Work, check_source, own_dtype, write
    from omni.loading.load import find
    from omni.loading.quantization import check_available

    bits = BITS[options.bits]
    check_available(bits, "cpu")  # before anything is fetched
    found = yield from find(options.source)
    source = found.checkpoint
    check_source(source)
    auto = options.dtype == "auto"
    dtype = own_dtype(source) if auto else devices.DTYPES[options.dtype]
    yield from write(Work(source, found.vocoder_file, bits, dtype), out)
    return sum(path.stat().st_size for path in source.weight_files)
