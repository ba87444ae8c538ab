"""What can be asked about a clip, and the right answers.

Knows: which questions an event allows and their canonical answers, in both languages.
Does not know: how the clip looks, who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

from finetune.nano.domain.lexicon import word
from finetune.nano.domain.looking import CLIP_WORDINGS, DID, HAPPENINGS, ByLanguage, a_thing, answer
from finetune.nano.domain.splits import Split
from finetune.nano.domain.width import DomainWidth
from finetune.nano.pictures.clips import ClipScene, Event, draw_clip
from finetune.nano.pictures.picture_questions import Asked

Answers = Callable[[ClipScene], ByLanguage]


def _happening(clip: ClipScene) -> ByLanguage:
    words = {"color": word("color", clip.thing.color), "shape": word("shape", clip.thing.shape)}
    if clip.direction:
        words["direction"] = word("direction", clip.direction)
    if clip.new_color:
        words["new"] = word("color", clip.new_color)
    english, chinese = HAPPENINGS[clip.event]
    return answer(english, chinese, **words)


def _thing(clip: ClipScene) -> ByLanguage:
    return a_thing(*clip.thing.look)


def _one(name: str, key: Callable[[ClipScene], str], form: str = "{x}") -> Answers:
    """One word as the answer; ``form`` is its English."""
    return lambda clip: answer(form, "{x}", x=word(name, key(clip)))


# The events after which a kind can be asked, and its answer about the thing.
_KINDS: Mapping[str, tuple[tuple[Event, ...], Answers]] = {
    "happens": (("moves", "appears", "disappears", "changes"), _happening),
    "direction": (("moves",), _one("direction", lambda clip: clip.direction)),
    "mover": (("moves",), _thing),
    "appears": (("appears",), _thing),
    "disappears": (("disappears",), _thing),
    "new-color": (("changes",), _one("color", lambda clip: clip.new_color)),
    "old-color": (("changes",), _one("color", lambda clip: clip.thing.color)),
    "changer": (("changes",), _one("shape", lambda clip: clip.thing.shape, "a {x}")),
    "does-move": (("moves", "changes"), lambda clip: DID[clip.event == "moves"]),
}
CLIP_KINDS: tuple[str, ...] = tuple(_KINDS)


def kinds(width: DomainWidth, event: Event | None = None) -> tuple[str, ...]:
    """The kinds of questions within a width, after an event."""
    return tuple(
        kind
        for kind, (events, _) in _KINDS.items()
        if (width == "full" or CLIP_WORDINGS[kind].core) and (event is None or event in events)
    )


def ask(clip: ClipScene, kind: str, rng: Random, width: DomainWidth) -> Asked | None:
    """A question of a kind about a clip; None if the clip does not allow it."""
    events, answers = _KINDS[kind]
    if clip.event not in events:
        return None
    asked_about, found = clip.thing, answers(clip)
    if kind == "does-move" and clip.other and rng.random() < 0.5:
        asked_about, found = clip.other, DID[False]
    wording = rng.randrange(CLIP_WORDINGS[kind].count(width))
    return Asked(kind, {"shape": word("shape", asked_about.shape)}, found, CLIP_WORDINGS, wording)


def draw_asked_clip(
    rng: Random, split: Split, width: DomainWidth, kind: str | None = None
) -> tuple[ClipScene, Asked]:
    """A clip of one side and a question about it, of a random kind unless one is given."""
    if kind is None:
        clip = draw_clip(rng, width, split)
        kind = rng.choice(kinds(width, clip.event))
    else:
        clip = draw_clip(rng, width, split, rng.choice(_KINDS[kind][0]))
    asked = ask(clip, kind, rng, width)
    if asked is None:
        raise ValueError(f"{clip.event} does not allow {kind}")
    return clip, asked


def ask_more(clip: ClipScene, first: Asked, rng: Random, width: DomainWidth) -> Asked | None:
    """Another question about the same clip, of another kind; None if there is none."""
    names = [name for name in kinds(width, clip.event) if name != first.kind]
    return ask(clip, rng.choice(names), rng, width) if names else None
