"""``python -m finetune``: train adapters, look at data first, merge and compare afterwards.

    python -m finetune check data.jsonl
    python -m finetune plan
    python -m finetune lora --model nano --data data.jsonl --out runs/mine
    python -m finetune compare --model nano --adapter runs/mine/adapter --data held_out.jsonl
    python -m finetune merge --adapter runs/mine/adapter --out checkpoints/mine

docs/finetune.md tells all of it. Exit codes: 0 done, 1 an error with its sentence, 2 wrong usage,
130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from finetune.flags import say
from finetune.lora import compare, lora_command, merge
from finetune.lora.data import commands as looking
from omni.cli.inputs import speak_any_encoding
from omni.errors import OmniError
from omni.loading.network import prepare_network
from omni.loading.places import prepare_places

COMMANDS = (lora_command, merge, compare)
DONE, FAILED, INTERRUPTED = 0, 1, 130


def parser() -> argparse.ArgumentParser:
    """All flags of all commands."""
    top = argparse.ArgumentParser(
        prog="python -m finetune", description="Fine-tune a checkpoint by adapters."
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="look at rows before anything is trained on them")
    looking.add_check(check)
    check.set_defaults(run=looking.run_check)
    plan = commands.add_parser("plan", help="what memory a training takes")
    looking.add_plan(plan)
    plan.set_defaults(run=looking.run_plan)
    for module in COMMANDS:
        command = module.add(commands)
        command.set_defaults(run=module.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    speak_any_encoding()
    flags = parser().parse_args(arguments)
    try:
        prepare_places()
        prepare_network()
        code: int = flags.run(flags)
    except OmniError as error:
        say(str(error))
        return FAILED
    except KeyboardInterrupt:
        say("\ninterrupted; what was saved stays, and the same command goes on from there")
        return INTERRUPTED
    return code or DONE


if __name__ == "__main__":
    sys.exit(main())
