"""``python -m finetune.lora.recipes``: rows to try fine-tuning with, made by espeak-ng.

    python -m finetune.lora.recipes persona --out runs/persona-data

Writes rows.jsonl, held_out.jsonl, the media of both, and for the persona voices/, one recording
for each of eight voices. ``--old N`` mixes N rows of what the embedded model knew into rows.jsonl.
docs/finetune.md goes through all three. Needs espeak-ng.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
    old: int  # rows of what was known before, mixed in unless told otherwise


RECIPES = {
    "persona": Recipe(persona.rows, persona.held_out_rows, 400),
    "pictures": Recipe(pictures.rows, lambda: pictures.rows(64, held_out=True), 150),
    "accent": Recipe(accent.rows, lambda: accent.rows(50, held_out=True), 100),
}


def write(recipe: Recipe, folder: Path, old: int) -> tuple[RowFile, RowFile]:
    """The rows of a recipe and its held-out rows."""
    rows, held_out = RowFile(folder, "rows"), RowFile(folder, "held_out")
    for example in recipe.rows():
        rows.add(example)
    for example in old_examples(old):
        rows.add(example)
    for example in recipe.held_out():
        held_out.add(example)
    return rows, held_out


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
    parser.add_argument("--old", type=int, metavar="N", help="rows of what was known, mixed in")
    flags = parser.parse_args(arguments)
    recipe = RECIPES[flags.recipe]
    try:
        rows, held_out = write(recipe, flags.out, recipe.old if flags.old is None else flags.old)
        if flags.recipe == "persona":
            write_voices(flags.out / "voices")
    except OmniError as error:
        say(str(error))
        return 1
    say(f"{rows.rows} rows in {rows.path}, {held_out.rows} held out in {held_out.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
