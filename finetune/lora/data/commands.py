"""``python -m finetune check`` and ``python -m finetune plan``.

Knows: their flags, exit codes and the order of their lines. Does not know: how anything is found.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TypeVar

from finetune.lora.data.check import Checked, check
from finetune.lora.data.report import report
from finetune.lora.data.rows import read_rows
from finetune.lora.plan import Shapes, Training, published_sizes, sentence, table_lines
from finetune.lora.plan import training_need as need_of
from omni import devices
from omni.config import OmniConfig
from omni.errors import OmniError
from omni.events import Progress
from omni.loading.load import find_checkpoint, read_config
from omni.loading.placement import choose_model
from omni.prompting.tokenizer import OmniTokenizer
from omni.settings import PUBLISHED_BASE, PUBLISHED_MODEL

GOOD, BAD_ROWS, UNUSABLE = 0, 1, 2  # exit codes; argparse's own is 2 too
MAX_TOKENS = 2048
T = TypeVar("T")


def add_check(parser: argparse.ArgumentParser) -> None:
    """The flags of ``check``."""
    parser.add_argument("data", type=Path, nargs="+", help="files of rows (.jsonl or .json)")
    parser.add_argument(
        "--max-tokens", type=int, default=MAX_TOKENS, help=f"of a row (default {MAX_TOKENS})"
    )
    _add_training(parser)


def add_plan(parser: argparse.ArgumentParser) -> None:
    """The flags of ``plan``."""
    parser.add_argument(
        "--table", action="store_true", help="what fits GPUs of 24, 48 and 80 GB, in Markdown"
    )
    parser.add_argument(
        "--max-tokens", type=int, default=MAX_TOKENS, help=f"of a row (default {MAX_TOKENS})"
    )
    _add_training(parser)


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default="auto", help="nano, a folder, or a name on the Hugging Face Hub"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, mps, cuda or cuda:N")
    parser.add_argument("--quantization", default="none", choices=("none", "8bit", "4bit"))
    parser.add_argument("--rank", type=int, default=16, help="of the adapters (default 16)")
    parser.add_argument("--batch", type=int, default=1, help="rows at a time (default 1)")
    parser.add_argument("--audio-head", action="store_true", help="adapters for the audio head too")
    parser.add_argument("--bridges", action="store_true", help="train the vision bridge too")


def run_check(flags: argparse.Namespace) -> int:
    """Read every file of every row and tell what there is; the exit code."""
    try:
        device = devices.choose_device(flags.device).name
        name = choose_model(flags.model, flags.quantization, device)
        checkpoint = _quietly(find_checkpoint(name))
        config = read_config(checkpoint)
        tokenizer = OmniTokenizer.from_folder(checkpoint.folder)
        shapes = {key: info.shape for key, info in checkpoint.tensors.items()}
        code = GOOD
        for path in flags.data:
            found = _checked(path, tokenizer, config, flags.max_tokens)
            for line in report(found, flags.max_tokens):
                print(line)
            if found.sizes:
                asked = _as_found(_training(flags, device, shapes), found, flags.max_tokens)
                print(_plan_line(asked, shapes, config, device))
            if found.bad:
                code = BAD_ROWS
    except OmniError as error:
        print(error, file=sys.stderr)
        return UNUSABLE
    return code


def run_plan(flags: argparse.Namespace) -> int:
    """Tell what a training takes; the exit code."""
    try:
        device = devices.choose_device(flags.device).name
        published = flags.table and flags.model == "auto"
        name = PUBLISHED_MODEL if published else choose_model(flags.model, "none", device)
        shapes, config = _sizes(name)
        if flags.table:
            for line in table_lines(shapes, config):
                print(line)
            return GOOD
        asked = _training(flags, device, shapes)
        print(_plan_line(asked, shapes, config, device))
    except OmniError as error:
        print(error, file=sys.stderr)
        return UNUSABLE
    return GOOD


def _checked(path: Path, tokenizer: OmniTokenizer, config: OmniConfig, most: int) -> Checked:
    rows = read_rows(path)
    total, shown = len(rows.rows), sys.stderr.isatty()

    def tell(done: int) -> None:
        """How far it is, for people."""
        if shown:
            end = "\r\033[K" if done == total else ""
            print(f"\r{path.name}: row {done} of {total}{end}", end="", file=sys.stderr, flush=True)

    return check(rows, tokenizer, config, most, tell)


def _sizes(name: str) -> tuple[Shapes, OmniConfig]:
    """Of a checkpoint; the published ones need not be there."""
    if name in (PUBLISHED_MODEL, PUBLISHED_BASE):
        return published_sizes()
    checkpoint = _quietly(find_checkpoint(name))
    config = read_config(checkpoint)
    return {key: info.shape for key, info in checkpoint.tensors.items()}, config


def _training(flags: argparse.Namespace, device: str, shapes: Shapes) -> Training:
    parameters = sum(map(prod, shapes.values()))
    choice = devices.choose_dtype(device, parameters)
    few = flags.quantization != "none" and device.startswith("cuda")
    return Training(
        quantization=flags.quantization,
        rank=flags.rank,
        tokens=flags.max_tokens,
        batch=flags.batch,
        audio_head=flags.audio_head,
        bridges=flags.bridges,
        dtype_bytes=choice.dtype.itemsize,
        moment_bytes=1 if few else 4,
    )


def _as_found(asked: Training, found: Checked, most: int) -> Training:
    """``asked``, of rows as long as the longest that was found."""
    longest = min(most, max(size.tokens for size in found.sizes))
    frames = min(longest, max(size.said for size in found.sizes)) * asked.batch
    return replace(asked, tokens=longest, frames=frames)


def _plan_line(asked: Training, shapes: Shapes, config: OmniConfig, device: str) -> str:
    need = need_of(shapes, config, asked)
    return sentence(asked, need, device, devices.free_bytes(device))


def _quietly(work: Generator[Progress, None, T]) -> T:
    while True:
        try:
            next(work)
        except StopIteration as end:
            value: T = end.value
            return value
