"""Recipe 2: pictures of a domain, and what they mean there: signs.

Knows: an invented system of signs, how it is asked for in both languages, which pictures and
wordings are held out. Does not know: files, training.

The embedded model sees the shapes and says the animals; that the one means the other is new to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random

from finetune.nano.domain.asking import system_text
from finetune.nano.domain.languages import Language
from finetune.nano.examples.cast import Cast
from finetune.nano.examples.parts import Example, Seen, System
from finetune.nano.pictures.pictures import CELLS, Scene, Thing
from omni.conversation import DEFAULT_SYSTEM_TEXT

SEED = 47
# What each sign, a color and a shape, stands for: English, Chinese.
SIGNS: Mapping[tuple[str, str], Mapping[Language, str]] = {
    ("red", "triangle"): {"en": "a tiger", "zh": "老虎"},
    ("blue", "circle"): {"en": "a fish", "zh": "鱼"},
    ("green", "square"): {"en": "a cow", "zh": "牛"},
    ("yellow", "star"): {"en": "a bird", "zh": "鸟"},
    ("black", "heart"): {"en": "a horse", "zh": "马"},
    ("red", "circle"): {"en": "a dog", "zh": "狗"},
    ("green", "triangle"): {"en": "a rabbit", "zh": "兔子"},
    ("blue", "star"): {"en": "a cat", "zh": "猫"},
}
WORDINGS: Mapping[Language, tuple[str, ...]] = {
    "en": ("Which animal is this?", "What animal is here?", "Tell me the animal of this picture."),
    "zh": ("这是什么动物？", "这里有什么动物？", "请告诉我这是什么动物。"),
}
HELD_OUT: Mapping[Language, tuple[str, ...]] = {
    "en": ("What animal is this?", "Please tell me which animal is here."),
    "zh": ("请问这是什么动物？", "这里是什么动物？"),
}
HELD_OUT_PLACES = ("at the top", "on the right")


def rows(count: int = 160, held_out: bool = False) -> Iterator[Example]:
    """Questions about signs, in English and Chinese by turns.

    Args:
        held_out: with wordings, and at places in the picture, that are not learnt.
    """
    rng = Random(SEED + held_out)
    signs = list(SIGNS)
    for number in range(count):
        language: Language = "zh" if number % 2 else "en"
        cast = Cast(rng, "train", "core", language)
        cast.system = System(DEFAULT_SYSTEM_TEXT if held_out else system_text(rng, language))
        color, shape = signs[number // 2 % len(signs)]
        wordings = (HELD_OUT if held_out else WORDINGS)[language]
        shown = Seen(_sign(rng, color, shape, held_out))
        yield cast.example(
            "image_qa",
            cast.ask(rng.choice(wordings), "typed", shown, exact=True),
            cast.answer(SIGNS[color, shape][language]),
            kind="sign",
            speech=not held_out and number % 3 == 0,
        )


def _sign(rng: Random, color: str, shape: str, held_out: bool) -> Scene:
    """A picture with the sign alone, somewhere."""
    places = [place for place in CELLS if (place in HELD_OUT_PLACES) == held_out]
    thing = Thing(shape, color, rng.choice(("big", "small")), rng.choice(places))
    return Scene((thing,), seed=rng.getrandbits(32))
