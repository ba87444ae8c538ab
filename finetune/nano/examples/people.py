"""Conversations in people's own words, and ones about what nano cannot know: for training.

Knows: what of nano's world is asked in other words, where a strange question may stand.
Does not know: the words (:mod:`finetune.nano.domain.people`), how parts sound or look.
"""

from __future__ import annotations

from finetune.nano.domain import facts, outside, talk
from finetune.nano.domain.people import strange, wordings
from finetune.nano.domain.width import within
from finetune.nano.examples.cast import Cast, Medium
from finetune.nano.examples.parts import Example, Part, Seen, Task, Turn, Typed, Watched
from finetune.nano.pictures import clip_questions, picture_questions
from finetune.nano.pictures.picture_questions import Asked
from finetune.nano.teachers import everyday

_PICTURE, _CLIP, _FACT = 0.45, 0.13, 0.27  # shares; the rest is small talk
_SPOKEN = 0.25  # share of the questions
_SPEECH = 0.3  # share of the answers that are spoken, too: it is the question that is new
_MORE, _MOST = 0.75, 5  # how often a picture is asked about again, how many times at most
_BEFORE, _AFTER, _SHOWN = 0.25, 0.2, 0.08  # what a strange question stands between, and beside
_DIGITS = 0.5  # share of the sums


def own_words(cast: Cast) -> Example:
    """A question of nano's world in people's own words."""
    share = cast.rng.random()
    if share < _PICTURE:
        return _about_picture(cast)
    if share < _PICTURE + _CLIP:
        clip, asked = clip_questions.draw_asked_clip(cast.rng, cast.split, cast.width)
        return _about(cast, Watched(clip), [asked], "clips")
    turns = _known(cast) + (_known(cast) if cast.rng.random() < _AFTER else [])
    return _example(cast, "own_words", turns, "said")


def strange_question(cast: Cast) -> Example:
    """A question from outside of nano's world, alone or between others."""
    rng = cast.rng
    turns = _known(cast) if rng.random() < _BEFORE else []
    shown: tuple[Part, ...] = ()
    if not turns and rng.random() < _SHOWN:
        scene, _ = picture_questions.draw_asked_scene(rng, cast.split, cast.width)
        shown = (Seen(scene),)
    question = strange.ask(rng, cast.language, everyday)
    turns += [_asked(cast, question, *shown), cast.answer(outside.ANSWER[cast.language])]
    if rng.random() < _AFTER:
        turns += _known(cast)
    return _example(cast, "strange", turns, "strange")


def _about_picture(cast: Cast) -> Example:
    rng = cast.rng
    scene, asked = picture_questions.draw_asked_scene(rng, cast.split, cast.width)
    rounds = picture_questions.asked_further(scene, asked, rng, cast.width, _MORE, _MOST)
    return _about(cast, Seen(scene), rounds, "pictures")


def _about(cast: Cast, seen: Part, rounds: list[Asked], section: str) -> Example:
    turns: list[Turn] = []
    for asked in rounds:
        words = wordings.question(cast.rng, section, asked.kind, cast.language, asked.words)
        shown = () if turns else (seen,)
        turns.append(_asked(cast, words or asked.question(cast.language), *shown))
        turns.append(cast.answer(asked.answer(cast.language)))
    return _example(cast, "own_words", turns, section)


def _known(cast: Cast) -> list[Turn]:
    """A fact or small talk, asked for in people's words, and the answer."""
    rng, language = cast.rng, cast.language
    if rng.random() < _FACT / (1 - _PICTURE - _CLIP):
        fact = facts.draw(rng, cast.split, cast.width)
        digits = fact.group.key == "plus" and rng.random() < _DIGITS
        words = wordings.about_fact(rng, fact.group.key, fact.fact, language, digits)
        return [_asked(cast, words or fact.question(language)), cast.answer(fact.answer(language))]
    intent = rng.choice(within(talk.INTENTS, cast.width))
    words = wordings.small_talk(rng, intent.key, language)
    asked = words or rng.choice(intent.phrases[language])
    return [_asked(cast, asked), cast.answer(intent.answer[language])]


def _asked(cast: Cast, question: str, *seen: Part) -> Turn:
    """The question as it stands, typed, or said into a microphone."""
    medium: Medium = "spoken" if cast.rng.random() < _SPOKEN else "typed"
    if medium == "spoken":
        return Turn("user", (*seen, cast.hear(question)))
    return Turn("user", (*seen, Typed(question)))


def _example(cast: Cast, task: Task, turns: list[Turn], kind: str) -> Example:
    return cast.example(task, *turns, kind=kind, speech=cast.rng.random() < _SPEECH)
