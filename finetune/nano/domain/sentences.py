"""The statements and questions that are read aloud, transcribed and translated.

Knows: the templates and how to draw from them, also sets of sentences that differ in one word.
Does not know: voices, dialogues. No other text of the domain equals one of these sentences, so
the sides of :mod:`finetune.nano.domain.splits` hold for everything that is spoken.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from random import Random

from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import Split, stable_hash
from finetune.nano.domain.templates import Filling, Template
from finetune.nano.domain.width import DomainWidth, within


def _slots(text: str) -> tuple[tuple[str, str], ...]:
    """``"a:number b:number animal"`` as names with tables."""
    pairs = (item.partition(":") for item in text.split())
    return tuple((name, kind or name) for name, _, kind in pairs)


def _template(
    key: str, slots: str, en: str, zh: str, core: bool = False, **options: object
) -> Template:
    return Template(key, en, zh, _slots(slots), core, **options)  # type: ignore[arg-type]


def _adds_up(filling: Filling) -> bool:
    a, b, c = (int(number.key) for number in filling)
    return a + b == c


def _leaves(filling: Filling) -> bool:
    a, b, c = (int(number.key) for number in filling)
    return a - b == c


def _rises(filling: Filling) -> bool:
    return int(filling[0].key) < int(filling[1].key)


TEMPLATES: tuple[Template, ...] = (
    _template(
        "shape-place",
        "size color shape place",
        "The {size} {color} {shape} is {place}.",
        "{size}的{color}{shape}在{place}。",
        core=True,
    ),
    _template(
        "shape-count",
        "count color shape place",
        "There are {count} {color} {shape.s} {place}.",
        "{place}有{count.c}个{color}的{shape}。",
        core=True,
    ),
    _template(
        "shape-relation",
        "color shape relation color2:color shape2:shape",
        "The {color} {shape} is {relation} the {color2} {shape2}.",
        "{color}的{shape}在{color2}的{shape2}{relation}。",
        core=True,
    ),
    _template(
        "animal-spot",
        "animal spot thing",
        "The {animal} is {spot} the {thing}.",
        "{animal}在{thing}{spot}。",
        core=True,
    ),
    _template(
        "has-animals",
        "person count animal",
        "My {person} has {count} {animal.s}.",
        "我{person}有{count.c}{animal.m}{animal}。",
        core=True,
    ),
    _template(
        "two-animals",
        "color animal color2:color animal2:animal",
        "I see a {color} {animal} and a {color2} {animal2}.",
        "我看见{color}的{animal}和{color2}的{animal2}。",
        core=True,
    ),
    _template(
        "give-thing",
        "size color thing",
        "Please give me the {size} {color} {thing}.",
        "请给我那{thing.m}{size}的{color}{thing}。",
        core=True,
    ),
    _template(
        "day-animals",
        "day count animal",
        "On {day} we saw {count} {animal.s}.",
        "{day}我们看见了{count.c}{animal.m}{animal}。",
        core=True,
    ),
    _template(
        "sum",
        "a:number b:number c:number",
        "{a} plus {b} is {c}.",
        "{a}加{b}等于{c}。",
        core=True,
        fits=_adds_up,
    ),
    _template(
        "difference",
        "a:number b:number c:number",
        "{a} minus {b} is {c}.",
        "{a}减{b}等于{c}。",
        fits=_leaves,
    ),
    _template(
        "likes-things",
        "person color thing",
        "My {person} likes {color} {thing.s}.",
        "我{person}喜欢{color}的{thing}。",
    ),
    _template(
        "put-thing",
        "size thing spot thing2:thing",
        "Put the {size} {thing} {spot} the {thing2}.",
        "请把{size}的{thing}放在{thing2}{spot}。",
    ),
    _template(
        "month-animals",
        "month person animal",
        "In {month} my {person} saw a {animal}.",
        "{month}我{person}看见了一{animal.m}{animal}。",
    ),
    _template(
        "meeting",
        "person day month",
        "I met my {person} on a {day} in {month}.",
        "我在{month}的一个{day}见到了我{person}。",
    ),
    _template(
        "groups",
        "count animal count2:count animal2:animal",
        "There are {count} {animal.s} and {count2} {animal2.s}.",
        "有{count.c}{animal.m}{animal}和{count2.c}{animal2.m}{animal2}。",
    ),
    _template(
        "shape-moves",
        "size color shape direction",
        "A {size} {color} {shape} moved {direction}.",
        "一个{size}的{color}{shape}{direction}移动了。",
    ),
    _template(
        "shape-turns",
        "size shape color color2:color",
        "The {size} {color} {shape} turned {color2}.",
        "{size}的{color}{shape}变成了{color2}。",
    ),
    _template(
        "animal-eats",
        "color animal size food",
        "The {size} {color} {animal} wants some {food.s}.",
        "{size}的{color}{animal}想要{food}。",
    ),
    _template(
        "count-question",
        "color animal spot thing",
        "How many {color} {animal.s} are {spot} the {thing}?",
        "{thing}{spot}有多少{animal.m}{color}的{animal}？",
    ),
    _template(
        "spot-question",
        "color animal spot thing",
        "Is the {color} {animal} {spot} the {thing}?",
        "{color}的{animal}在{thing}{spot}吗？",
    ),
    _template(
        "where-question",
        "person size color thing",
        "Where is the {size} {color} {thing} of my {person}?",
        "我{person}的{size}{color}{thing}在哪里？",
    ),
    _template(
        "count-up",
        "a:number b:number",
        "Please count from {a} to {b}.",
        "请从{a}数到{b}。",
        fits=_rises,
    ),
    _template(
        "buys",
        "person count food day",
        "My {person} bought {count} {food.s} on {day}.",
        "我{person}{day}买了{count.c}{food.m}{food}。",
        fits=lambda filling: filling[2].en != filling[2].plural,
    ),
    _template(
        "drinks",
        "person food month",
        "My {person} had no {food.s} in {month}.",
        "我{person}{month}没有{food}。",
    ),
)


@dataclass(frozen=True)
class Sentence:
    """A combination: the same meaning in both languages."""

    template: Template
    filling: Filling

    def text(self, language: Language) -> str:
        """What is said."""
        return self.template.text(self.filling, language)

    @property
    def split(self) -> Split:
        """The side that it is on."""
        return self.template.split(self.filling)


@lru_cache(maxsize=8)
def _weighted(width: DomainWidth, split: Split) -> tuple[tuple[Template, ...], tuple[float, ...]]:
    """The templates that have sentences on that side, those with many drawn more often."""
    templates = within(TEMPLATES, width)
    if split != "train":
        templates = tuple(entry for entry in templates if entry.is_split)
    return templates, tuple(entry.size(width) ** 0.25 for entry in templates)


def draw(rng: Random, split: Split, width: DomainWidth = "full") -> Sentence:
    """A random sentence of one side."""
    templates, weights = _weighted(width, split)
    template = rng.choices(templates, weights)[0]
    return Sentence(template, template.draw(rng, split, width))


def draw_many(n: int, seed: int, split: Split, width: DomainWidth = "full") -> list[Sentence]:
    """``n`` different random sentences of one side.

    Raises:
        ValueError: the side does not have so many.
    """
    rng = Random(stable_hash("sentences", seed, split, width))
    found: dict[Sentence, None] = {}
    for _ in range(100 * n + 1000):
        if len(found) == n:
            return list(found)
        found[draw(rng, split, width)] = None
    raise ValueError(f"{split} does not have {n} sentences at width {width}")


def sample(
    split: Split, language: Language, n: int, seed: int, width: DomainWidth = "full"
) -> list[str]:
    """``n`` different random sentences of one side as text."""
    return [entry.text(language) for entry in draw_many(n, seed, split, width)]


def hard_sets(
    split: Split,
    language: Language,
    n: int,
    seed: int,
    width: DomainWidth = "full",
    size: int = 10,
) -> list[tuple[str, ...]]:
    """``n`` sets of ``size`` sentences that differ in one word; the first is of the side.

    Each of the others (of any side) differs from the first in exactly one slot: the same slot
    for the whole set where its table is large enough, else several.
    """
    rng = Random(stable_hash("hard", seed, split, width))
    sets: list[tuple[str, ...]] = []
    while len(sets) < n:
        first = draw(rng, split, width)
        others = _neighbours(first, language, rng, width, size - 1)
        if len(others) == size - 1:
            sets.append((first.text(language), *(entry.text(language) for entry in others)))
    return sets


def _neighbours(
    sentence: Sentence, language: Language, rng: Random, width: DomainWidth, count: int
) -> list[Sentence]:
    """Up to ``count`` sentences that differ in one slot, all in the same one if that is possible.

    In Chinese the measure word stays the same: it would be a second difference.
    """
    by_slot: list[list[Sentence]] = []
    for place, words in enumerate(sentence.template.tables(width)):
        old = sentence.filling[place]
        name, _ = sentence.template.slots[place]
        measured = language == "zh" and f"{{{name}.m}}" in sentence.template.zh
        fillings = (
            (*sentence.filling[:place], word, *sentence.filling[place + 1 :])
            for word in words
            if word != old and not (measured and word.measure != old.measure)
        )
        allowed = [Sentence(sentence.template, f) for f in fillings if sentence.template.allows(f)]
        by_slot.append(rng.sample(allowed, len(allowed)))
    enough = [slot for slot in by_slot if len(slot) >= count]
    if enough:
        return rng.choice(enough)[:count]
    mixed = [entry for slot in by_slot for entry in slot]
    return rng.sample(mixed, count) if len(mixed) >= count else mixed


def count(width: DomainWidth = "full") -> int:
    """How many sentences there are in each language."""
    return sum(entry.size(width) for entry in within(TEMPLATES, width))
