"""What can be asked about a scene, and the right answers.

Knows: which questions a scene allows and their canonical answers, in both languages.
Does not know: how the scene looks, who asks, in which voice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from finetune.nano.domain import looking
from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import Word, table, word
from finetune.nano.domain.looking import PICTURE_WORDINGS, ByLanguage
from finetune.nano.domain.splits import Split
from finetune.nano.domain.width import DomainWidth
from finetune.nano.pictures.pictures import Layout, Scene, Thing, draw_scene


@dataclass(frozen=True)
class Asked:
    """A question about a picture or a clip with its answer."""

    kind: str
    words: Mapping[str, Word]  # what the wording's slots hold
    answers: ByLanguage
    wordings: Mapping[str, looking.Wordings]
    wording: int = 0

    def question(self, language: Language) -> str:
        """The question."""
        return self.wordings[self.kind].text(self.wording, language, self.words)

    def answer(self, language: Language) -> str:
        """The canonical answer."""
        return self.answers[language]

    def asks_as(self, other: Asked) -> bool:
        """Whether both ask the same, in whatever words."""
        return (self.kind, self.words) == (other.kind, other.words)


Option = tuple[Mapping[str, Word], ByLanguage]
Options = Callable[[Scene, Random, DomainWidth], list[Option]]

_DESCRIBED = 2  # things at most in a description: a third one would take over 3 s to say
_MISSING_SHARE = 0.1  # of the questions after a color or place: the shape is not there


def _describe(scene: Scene, rng: Random, width: DomainWidth) -> list[Option]:
    if len(scene.things) > _DESCRIBED:
        return []
    return [({}, looking.listing([looking.a_thing(*thing.look) for thing in scene.things]))]


def _color(scene: Scene, rng: Random, width: DomainWidth) -> list[Option]:
    missing = _missing(scene, rng, width)
    if missing:
        return missing
    return [
        ({"shape": word("shape", thing.shape)}, _name("color", thing.color))
        for thing in _unique(scene, lambda thing: thing.shape)
    ]


def _color_by_size(scene: Scene, rng: Random, width: DomainWidth) -> list[Option]:
    shapes = Counter(thing.shape for thing in scene.things)
    return [
        (
            {"shape": word("shape", thing.shape), "size": word("size", thing.size)},
            _name("color", thing.color),
        )
        for thing in _unique(scene, lambda thing: (thing.shape, thing.size))
        if shapes[thing.shape] > 1
    ]


def _shape(scene: Scene, rng: Random, width: DomainWidth) -> list[Option]:
    return [
        (
            {"color": word("color", thing.color)},
            looking.answer("a {shape}", "{shape}", shape=word("shape", thing.shape)),
        )
        for thing in _unique(scene, lambda thing: thing.color)
    ]


def _count(scene: Scene, rng: Random, width: DomainWidth) -> list[Option]:
    return [({}, looking.number(len(scene.things)))]


def _count_color(scene: Scene, rng: Random, width: DomainWidth) -> list[Option]:
    return _counts(scene, rng, width, "color")


def _count_shape(scene: Scene, rng: Random, width: DomainWidth) -> list[Option]:
    return _counts(scene, rng, width, "shape")


def _counts(scene: Scene, rng: Random, width: DomainWidth, name: str) -> list[Option]:
    present = Counter(getattr(thing, name) for thing in scene.things)
    absent = [entry.key for entry in table(name, width) if entry.key not in present]
    if rng.random() < 0.15:
        return [({name: word(name, rng.choice(absent))}, looking.number(0))]
    return [({name: word(name, key)}, looking.number(found)) for key, found in present.items()]


def _where(scene: Scene, rng: Random, width: DomainWidth) -> list[Option]:
    missing = _missing(scene, rng, width)
    if missing:
        return missing
    return [
        ({"shape": word("shape", thing.shape)}, _name("place", thing.place))
        for thing in _unique(scene, lambda thing: thing.shape)
    ]


def _where_color(scene: Scene, rng: Random, width: DomainWidth) -> list[Option]:
    return [
        (
            {"color": word("color", thing.color), "shape": word("shape", thing.shape)},
            _name("place", thing.place),
        )
        for thing in _unique(scene, lambda thing: thing.look)
    ]


def _relation(scene: Scene, rng: Random, width: DomainWidth) -> list[Option]:
    options: list[Option] = []
    for thing in _unique(scene, lambda thing: thing.shape):
        for relation in table("relation", width):
            other = _only_one(scene, thing, relation.key)
            if other:
                words = {"relation": relation, "shape": word("shape", thing.shape)}
                options.append((words, looking.a_thing(*other.look)))
    return options


def _only_one(scene: Scene, thing: Thing, relation: str) -> Thing | None:
    """The thing on that side, if there is just one and it is straight there."""
    column, row = thing.cell
    on_side = {
        "left of": lambda cell: cell[0] < column,
        "right of": lambda cell: cell[0] > column,
        "above": lambda cell: cell[1] < row,
        "below": lambda cell: cell[1] > row,
    }[relation]
    found = [other for other in scene.things if on_side(other.cell)]
    axis = 1 if relation in ("left of", "right of") else 0
    straight = len(found) == 1 and found[0].cell[axis] == thing.cell[axis]
    return found[0] if straight else None


def _is_color(scene: Scene, rng: Random, width: DomainWidth) -> list[Option]:
    options: list[Option] = []
    for thing in _unique(scene, lambda thing: thing.shape):
        right = rng.random() < 0.5
        others = [entry.key for entry in table("color", width) if entry.key != thing.color]
        color = thing.color if right else rng.choice(others)
        words = {"shape": word("shape", thing.shape), "color": word("color", color)}
        options.append((words, looking.YES_NO[right]))
    return options


def _is_there(scene: Scene, rng: Random, width: DomainWidth) -> list[Option]:
    present = {thing.shape for thing in scene.things}
    absent = [entry.key for entry in table("shape", width) if entry.key not in present]
    right = rng.random() < 0.5
    shape = rng.choice(sorted(present) if right else absent)
    return [({"shape": word("shape", shape)}, looking.THERE_IS[right])]


def _size(scene: Scene, rng: Random, width: DomainWidth) -> list[Option]:
    return [
        ({"shape": word("shape", thing.shape)}, _name("size", thing.size))
        for thing in _unique(scene, lambda thing: thing.shape)
    ]


def _read(scene: Scene, rng: Random, width: DomainWidth) -> list[Option]:
    if scene.writing is None:
        return []
    return [({}, {"en": scene.writing.word.en, "zh": scene.writing.word.zh})]


def _name(name: str, key: str) -> ByLanguage:
    entry = word(name, key)
    return {"en": entry.en, "zh": entry.zh}


def _unique(scene: Scene, feature: Callable[[Thing], object]) -> list[Thing]:
    """The things that no other thing shares the feature with."""
    found = Counter(feature(thing) for thing in scene.things)
    return [thing for thing in scene.things if found[feature(thing)] == 1]


def _missing(scene: Scene, rng: Random, width: DomainWidth) -> list[Option]:
    """Sometimes: a shape that is not there."""
    if rng.random() >= _MISSING_SHARE:
        return []
    present = {thing.shape for thing in scene.things}
    shape = rng.choice([entry for entry in table("shape", width) if entry.key not in present])
    return [({"shape": shape}, looking.no_thing(shape.key))]


# What is asked for, how often, in which layouts it can be asked.
_KINDS: Mapping[str, tuple[Options, int, tuple[Layout, ...]]] = {
    "describe": (_describe, 4, ("few", "row")),
    "color": (_color, 3, ("few", "row")),
    "color-by-size": (_color_by_size, 1, ("few", "crowd")),
    "shape": (_shape, 3, ("few", "row")),
    "count": (_count, 2, ("crowd", "few")),
    "count-color": (_count_color, 2, ("crowd",)),
    "count-shape": (_count_shape, 2, ("crowd",)),
    "where": (_where, 3, ("few", "row")),
    "where-color": (_where_color, 1, ("few", "row", "crowd")),
    "relation": (_relation, 3, ("row",)),
    "is-color": (_is_color, 1, ("few", "row")),
    "is-there": (_is_there, 1, ("few", "row")),
    "size": (_size, 2, ("few",)),
    "read-number": (_read, 3, ("number",)),
    "read-word": (_read, 2, ("word",)),
}
PICTURE_KINDS: tuple[str, ...] = tuple(_KINDS)
COUNTING = ("count", "count-color", "count-shape")


def kinds(width: DomainWidth) -> tuple[str, ...]:
    """The kinds of questions within a width."""
    return tuple(kind for kind in _KINDS if width == "full" or PICTURE_WORDINGS[kind].core)


def ask(scene: Scene, kind: str, rng: Random, width: DomainWidth) -> Asked | None:
    """A question of a kind about a scene; None if the scene does not allow it."""
    reads = kind.startswith("read")
    if reads != (scene.writing is not None):
        return None
    options = _KINDS[kind][0](scene, rng, width)
    if not options:
        return None
    words, answers = rng.choice(options)
    wordings = PICTURE_WORDINGS[kind]
    return Asked(kind, words, answers, PICTURE_WORDINGS, rng.randrange(wordings.count(width)))


def draw_asked_scene(
    rng: Random,
    split: Split,
    width: DomainWidth,
    kind: str | None = None,
    layout: Layout | None = None,
) -> tuple[Scene, Asked]:
    """A scene of one side and a question about it, of a random kind and layout unless given."""
    names = kinds(width)
    kind = kind or rng.choices(names, [_KINDS[name][1] for name in names])[0]
    while True:
        drawn = rng.choice(_KINDS[kind][2]) if layout is None else layout
        scene = draw_scene(rng, drawn, width, split)
        asked = ask(scene, kind, rng, width)
        if asked:
            return scene, asked


def ask_more(
    scene: Scene, before: Sequence[Asked], rng: Random, width: DomainWidth, again: bool = False
) -> Asked | None:
    """Another question about the same scene, of a kind not asked before; None if there is none.

    ``again``: it may be of a kind asked before, about something else.
    """
    asked_kinds = set() if again else {asked.kind for asked in before}
    names = [name for name in kinds(width) if name not in asked_kinds]
    for kind in rng.sample(names, len(names)):
        asked = ask(scene, kind, rng, width)
        if asked and not any(asked.asks_as(other) for other in before):
            return asked
    return None


def asked_further(
    scene: Scene,
    first: Asked,
    rng: Random,
    width: DomainWidth,
    share: float,
    most: int,
    again: bool = False,
) -> list[Asked]:
    """The first question and those that follow, each with a chance, as :func:`ask_more` has them.

    Args:
        share: the chance of one more.
        most: how many there are at most.
    """
    rounds = [first]
    while len(rounds) < most and rng.random() < share:
        more = ask_more(scene, rounds, rng, width, again)
        if not more:
            break
        rounds.append(more)
    return rounds
