"""``python -m finetune lora``: the flags of a training.

Knows: every field of the options is a flag. Does not know: how training is done, before it is
asked to: torch is loaded then.
"""

from __future__ import annotations

import argparse
import importlib.util
from dataclasses import fields
from pathlib import Path
from typing import Any

from finetune.flags import Commands, say
from finetune.lora.options import ALL_BITS, MIXINGS, MODES, LoraOptions, TrainingError

CHOICES: dict[str, tuple[str, ...]] = {
    "quantization": ALL_BITS,
    "mode": MODES,
    "dtype": ("auto", "float32", "bfloat16"),
    "checkpointing": ("auto", "on", "off"),
    "mix_by": MIXINGS,
}
HELP = {
    "model": "auto, nano, a folder, or a name on the Hugging Face Hub",
    "quantization": "bits of the frozen layers; 4bit is QLoRA",
    "device": "auto, cpu, mps, cuda, cuda:N",
    "dtype": "number format of the frozen weights",
    "mode": "what is learnt of an answer: text leaves its speech out, speech learns its sound "
    "alone",
    "rank": "of the adapters",
    "alpha": "adapters are scaled by alpha / rank",
    "dropout": "share of an adapter's inputs that is left out",
    "audio_head": "adapters for the audio head too: for a new voice",
    "bridges": "train the vision bridge as a whole: for new kinds of pictures",
    "epochs": "times that every row is seen",
    "steps": "of the optimizer; 0: as many as the epochs need",
    "batch": "rows at a time, on each device",
    "accumulate": "batches to one step",
    "rate": "learning rate at its highest",
    "warmup": "share of the steps over which the rate rises",
    "weight_decay": "of the adapters",
    "clip": "of the gradient's norm",
    "optimizer": "auto, or a name that transformers knows",
    "fine_weight": "of each codebook after the first, in the loss of speech",
    "speech_weight": "of the loss of speech, beside that of text",
    "code_noise": "largest share of its own codes that is replaced by chance while it learns",
    "mix_by": "what rows of --mix teach: to score them as the model did before, or what they say",
    "max_tokens": "of a row; of a longer one the first messages are left out",
    "checkpointing": "compute layers twice, to save memory; auto: from a billion weights on",
    "eval_share": "share of the rows that is held out, where there is no --eval-data",
    "eval_every": "steps between looks at held-out rows; 0: ten times in all",
    "patience": "looks without an improvement after which it ends; 0: never",
    "save_every": "steps between checkpoints; 0: ten times in all",
    "keep": "checkpoints that stay",
    "log_every": "steps between lines",
    "seed": "the same seed gives the same adapter",
}


def add(commands: Commands) -> argparse.ArgumentParser:
    """The command and its flags."""
    command = commands.add_parser("lora", help="train adapters on rows of your own")
    command.add_argument("--data", type=Path, required=True, help="the rows: .jsonl or .json")
    command.add_argument(
        "--mix",
        type=Path,
        help="rows of what it should go on knowing: each is learnt from once, among the others",
    )
    command.add_argument("--eval-data", type=Path, help="rows that are looked at and never learnt")
    command.add_argument(
        "--out", type=Path, required=True, help="folder of the run; started again, it goes on"
    )
    for field in fields(LoraOptions):
        add_option(command, field.name, field.default)
    command.add_argument(
        "--skip-bad", action="store_true", help="leave out rows that cannot be used, and tell them"
    )
    command.add_argument(
        "--anyway", action="store_true", help="begin where memory does not seem to suffice"
    )
    return command


def add_option(command: argparse.ArgumentParser, name: str, default: Any) -> None:
    """The flag of one field of the options."""
    flag = "--" + name.replace("_", "-")
    if isinstance(default, bool):
        command.add_argument(flag, action="store_true", help=HELP[name])
        return
    command.add_argument(
        flag,
        type=type(default),
        default=default,
        choices=CHOICES.get(name),
        metavar=None if name in CHOICES else "N" if isinstance(default, int | float) else "NAME",
        help=f"{HELP[name]} (default: {default})",
    )


def run(flags: argparse.Namespace) -> int:
    """Train, and tell what came of it."""
    options = LoraOptions(
        **{field.name: getattr(flags, field.name) for field in fields(LoraOptions)}
    )
    if importlib.util.find_spec("peft") is None:
        raise TrainingError(
            "training-missing",
            "Training needs packages that are not installed here: run "
            "`pip install -r requirements-train.txt -c constraints.txt`.",
        )
    from omni.loading.quantization import be_quiet

    be_quiet()  # before peft, which imports bitsandbytes
    from finetune.lora.base import is_first
    from finetune.lora.progress import duration
    from finetune.lora.run import RunFiles
    from finetune.lora.run import run as train

    files = RunFiles(
        flags.data, flags.out, flags.eval_data, flags.mix, flags.skip_bad, flags.anyway
    )
    found = train(options, files, say if is_first() else lambda line: None)
    if not is_first():
        return 0
    held_out = "" if found.held_out is None else f", at best {found.held_out:.3f} on held-out rows"
    loss = "" if found.loss is None else f", loss {found.loss:.3f}"
    say(f"{found.steps} steps in {duration(found.seconds)}{loss}{held_out}")
    size = sum(file.stat().st_size for file in found.adapter.iterdir()) / 1e6
    say(f"the adapter, {size:.1f} MB: {found.adapter}")
    if found.figure:
        say(f"the losses as a picture: {found.figure}")
    asked = f"--model {flags.model} --adapter {found.adapter}"
    say(f"next: python -m finetune compare {asked} --data HELD_OUT.jsonl")
    return 0
