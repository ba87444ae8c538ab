"""Recipe 2: pictures of a domain with things that the model has never seen, and questions.

Knows: which shapes and colors lie outside of the embedded model's world.
Does not know: files, training.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from finetune.nano.domain.asking import system_text
from finetune.nano.domain.splits import Split
from finetune.nano.examples.cast import Cast
from finetune.nano.examples.parts import Example, Seen, System
from finetune.nano.pictures import picture_questions
from finetune.nano.pictures.pictures import Scene
from omni.conversation import DEFAULT_SYSTEM_TEXT

SEED = 47
SHAPES = ("diamond", "cross", "ring")  # words of the wider domain, which was never trained
KINDS = ("describe", "shape", "color", "count_shape", "where")


def rows(count: int = 300, held_out: bool = False) -> Iterator[Example]:
    """Questions about pictures with the new shapes, in English and Chinese by turns.

    Args:
        held_out: pictures and wordings of the test side.
    """
    split: Split = "test" if held_out else "train"
    rng = Random(SEED + held_out)
    for number in range(count):
        cast = Cast(rng, split, "full", "zh" if number % 2 else "en")
        cast.system = System(DEFAULT_SYSTEM_TEXT if held_out else system_text(rng, cast.language))
        scene, asked = _drawn(rng, split)
        question = asked.question(cast.language)
        yield cast.example(
            "image_qa",
            cast.ask(question, "typed", Seen(scene), exact=held_out),
            cast.answer(asked.answer(cast.language)),
            kind=asked.kind,
            speech=False if held_out else number % 3 == 0,
        )


def _drawn(rng: Random, split: Split) -> tuple[Scene, picture_questions.Asked]:
    while True:
        scene, asked = picture_questions.draw_asked_scene(rng, split, "full", None, "few")
        words = {word.key for word in asked.words.values()}
        about = words & set(SHAPES) or (not words and {thing.shape for thing in scene.things})
        if about and about <= set(SHAPES):
            return scene, asked
