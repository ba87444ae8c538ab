"""``python -m finetune.lora.recipes``: rows to try fine-tuning with, made by espeak-ng.

    python -m finetune.lora.recipes persona --out runs/persona-data

Writes rows.jsonl, held_out.jsonl, old.jsonl (rows of what the embedded model knew, for --mix), the
media of all, and for the persona validation.jsonl (other wordings, to choose settings by) and
voices/, one recording for each of eight voices.
docs/finetune.md goes through all three. Needs espeak-ng.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from finetune.flags import say
from finetune.lora.recipes import accent, persona, pictures
from finetune.lora.recipes.old import old_examples
from finetune.lora.recipes.writing import RowFile
from finetune.nano.examples.parts import Example
from finetune.nano.speech.synthesis import SPOKEN_RATE, Utterance, speak
from omni.errors import OmniError
from omni.media.wav import write_wav

Rows = Callable[[], Iterator[Example]]


@dataclass(frozen=True)
class Recipe:
    """What a recipe teaches, and on what it is compared."""

    rows: Rows
    held_out: Rows
    old: int  # rows of what was known before, to mix in, unless told otherwise
    validation: Rows | None = None  # by which settings of the training can be chosen


RECIPES = {
    "persona": Recipe(
        persona.rows, persona.held_out_rows, 2400, partial(persona.held_out_rows, side="validation")
    ),
    "pictures": Recipe(pictures.rows, lambda: pictures.rows(64, held_out=True), 400),
    "accent": Recipe(accent.rows, lambda: accent.rows(50, held_out=True), 400),
}


def write(recipe: Recipe, folder: Path, old: int) -> tuple[RowFile, RowFile, RowFile]:
    """The rows of a recipe, its held-out rows, and ``old`` rows of what was known before."""
    drawn = {"rows": recipe.rows(), "held_out": recipe.held_out(), "old": old_examples(old)}
    if recipe.validation:
        drawn["validation"] = recipe.validation()
    files = {name: RowFile(folder, name) for name in drawn}
    for name, examples in drawn.items():
        for example in examples:
            files[name].add(example)
    return files["rows"], files["held_out"], files["old"]


def write_voices(folder: Path) -> list[Path]:
    """A recording of each of the persona's eight voices, hers first."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for voice in persona.VOICES:
        files.append(folder / f"{voice.name}.wav")
        write_wav(files[-1], speak(Utterance(persona.AWAKE, "en", voice)), SPOKEN_RATE)
    return files


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a recipe's files."""
    description = (__doc__ or "").partition("\n")[0].partition(": ")[2]
    parser = argparse.ArgumentParser(
        prog="python -m finetune.lora.recipes", description=description
    )
    parser.add_argument("recipe", choices=sorted(RECIPES))
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--old", type=int, metavar="N", help="rows of what was known, to mix in")
    flags = parser.parse_args(arguments)
    recipe = RECIPES[flags.recipe]
    try:
        old = recipe.old if flags.old is None else flags.old
        rows, held_out, known = write(recipe, flags.out, old)
        if flags.recipe == "persona":
            write_voices(flags.out / "voices")
    except OmniError as error:
        say(str(error))
        return 1
    say(
        f"{rows.rows} rows in {rows.path}, {held_out.rows} held out in {held_out.path}, "
        f"{known.rows} to mix in in {known.path}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
