"""The training examples: millions of them, each a function of its number.

Knows: the mixture of tasks and languages. Does not know: what is said
(:mod:`finetune.nano.examples.dialogues`).

``python -m finetune.nano.examples.examples --show 20 --out DIR`` writes some to look at and to
hear; ``--sizes`` prints how large the domain is.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import get_args

from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import SPLITS, Split, stable_hash
from finetune.nano.domain.width import LANGUAGES, DomainWidth
from finetune.nano.examples.cast import Cast
from finetune.nano.examples.dialogues import DIALOGUES
from finetune.nano.examples.parts import Example, Task

ALL_TASKS: tuple[Task, ...] = get_args(Task)
# How often each task is drawn, of 100.
WEIGHTS: dict[Task, int] = {
    "tts": 8,
    "asr": 20,
    "image_qa": 19,
    "video_qa": 6,
    "spoken_qa": 15,
    "chat": 5,
    "translate": 2,
    "style": 5,
    "clone": 19,
    "outside": 1,
}
# In people's own words, by natural voices: drawn only where they are asked for by name.
PEOPLE: dict[Task, int] = {"own_words": 3, "strange": 1, "natural_asr": 3, "natural_qa": 3}
TASKS = tuple(WEIGHTS)


def example(
    index: int,
    seed: int,
    split: Split,
    task: Task | None = None,
    width: DomainWidth = "full",
    language: Language | None = None,
    weights: Mapping[Task, int] = WEIGHTS,
    renderings: int | None = None,
) -> Example:
    """The ``index``-th example: a function of the arguments, in every process.

    Nothing is spoken or drawn yet: that happens in the methods of its parts.

    Args:
        task: None draws one by ``weights``.
        language: None draws one.
        renderings: of what people say, see :class:`finetune.nano.examples.cast.Cast`.
    """
    rng = Random(stable_hash("example", index, seed, split, task, width, language))
    chosen = task or rng.choices(list(weights), list(weights.values()))[0]
    spoken = rng.choice(LANGUAGES) if language is None else language
    return DIALOGUES[chosen](Cast(rng, split, width, spoken, renderings))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="Look at and listen to training examples.")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="how many to write")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/examples"), help="folder for the examples"
    )
    parser.add_argument(
        "--task", choices=ALL_TASKS, help="one task only (default: all of them in turn)"
    )
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--width", choices=get_args(DomainWidth), default="full")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sizes", action="store_true", help="print the domain's sizes")
    options = parser.parse_args()
    from finetune.nano.examples.gallery import (  # needs soundfile, which examples do not
        print_sizes,
        write_example,
    )

    if options.sizes:
        print_sizes()
    for index in range(options.show):
        task = options.task or TASKS[index % len(TASKS)]
        drawn = example(index, options.seed, options.split, task, options.width)
        print(write_example(drawn, options.out / f"{index:03d}_{drawn.task}_{drawn.language}"))


if __name__ == "__main__":
    main()
