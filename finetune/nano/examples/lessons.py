"""Conversations in which a natural voice is heard: for training.

Knows: which of what natural voices say has a right answer in nano's world. Does not know: voices
(:mod:`finetune.nano.examples.natural`), how parts become tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from finetune.nano.domain import asking, facts, outside, talk
from finetune.nano.domain.fact_groups import GROUPS
from finetune.nano.domain.languages import Language
from finetune.nano.domain.people import strange
from finetune.nano.domain.vocabulary import english_words, hanzi
from finetune.nano.domain.width import DomainWidth, within
from finetune.nano.examples import natural
from finetune.nano.examples.cast import Cast
from finetune.nano.examples.parts import Example, Heard, Part, Seen, System, Turn, Typed, Watched
from finetune.nano.pictures import clip_questions, picture_questions
from finetune.nano.speech.texts import draw_text
from finetune.nano.teachers import everyday

_CORPUS = 0.5  # share of the English recordings that are of the corpus
_ASKED_FOR = 0.3  # share of the transcriptions that are asked for in a conversation
_SHOWN, _SAID = 0.55, 0.3  # shares of questions about something shown, of facts and talk
_CLIP = 0.35  # of what is shown
_SPEECH = 0.3  # share of the answers that are spoken, too
_WORLD_TRIES = 3  # of which the one with the fewest strange words is taken
_WORD = r"[a-z']+|[\u4e00-\u9fff]"
_TRIES = 200  # until the corpus has a question about what was drawn


def natural_asr(cast: Cast) -> Example:
    """A recording of a natural voice to write down.

    Raises:
        ResourceError: ``corpus-missing``, ``teacher-missing``.
    """
    rng, language = cast.rng, cast.language
    heard = None
    if rng.random() >= _CORPUS:
        heard = natural.at_once(rng, draw_text(rng, language, "train", cast.width), language)
    heard = heard or _of_this_world(cast)
    answer = Turn("assistant", (cast.say(heard.utterance.text),))
    if rng.random() >= _ASKED_FOR:
        cast.system = System()
        asked = Turn("user", (heard,))
        return cast.example("natural_asr", asked, answer, form="transcription", speech=False)
    request = Typed(rng.choice(asking.WRITE_DOWN[cast.language]))
    return cast.example("natural_asr", Turn("user", (heard, request)), answer, speech=False)


def _of_this_world(cast: Cast) -> Heard:
    """An utterance of the corpus, mostly of words that nano knows."""
    tries = [natural.of_corpus(cast.rng, cast.language) for _ in range(_WORLD_TRIES)]
    found = [heard for heard in tries if heard is not None]
    if not found:
        raise ValueError(f"the corpus has nothing in {cast.language}")

    def strange_words(heard: Heard) -> int:
        words = re.findall(_WORD, heard.utterance.text.lower())
        return len(set(words) - _known(cast.language))

    return min(found, key=strange_words)


@lru_cache(maxsize=2)
def _known(language: Language) -> frozenset[str]:
    known = english_words("full") if language == "en" else hanzi("full")
    return frozenset(word.lower() for word in known)


def natural_qa(cast: Cast) -> Example:
    """A question by a natural voice: about something shown, a fact, small talk, or outside.

    Raises:
        ResourceError: ``corpus-missing``, ``teacher-missing``.
    """
    share = cast.rng.random()
    if share < _SHOWN:
        seen, heard, answer = _about_something(cast)
        turns = (Turn("user", (seen, heard)), cast.answer(answer))
    else:
        known = share < _SHOWN + _SAID
        heard, answer = _fact_or_talk(cast) if known else _from_outside(cast)
        turns = (Turn("user", (heard,)), cast.answer(answer))
    return cast.example("natural_qa", *turns, speech=cast.rng.random() < _SPEECH)


def _heard(cast: Cast, text: str) -> Heard | None:
    """A text by a natural voice, if one can say it or has said it."""
    return natural.at_once(cast.rng, text, cast.language) or natural.of_corpus(
        cast.rng, cast.language, text
    )


def _about_something(cast: Cast) -> tuple[Part, Heard, str]:
    for _ in range(_TRIES):
        if cast.rng.random() < _CLIP:
            clip, asked = clip_questions.draw_asked_clip(cast.rng, "train", cast.width)
            seen: Part = Watched(clip)
        else:
            scene, asked = picture_questions.draw_asked_scene(cast.rng, "train", cast.width)
            seen = Seen(scene)
        heard = _heard(cast, asked.question(cast.language))
        if heard is not None:
            return seen, heard, asked.answer(cast.language)
    raise ValueError(f"the corpus asks nothing in {cast.language} about what is shown")


def _fact_or_talk(cast: Cast) -> tuple[Heard, str]:
    known = answers(cast.language, cast.width)
    asked = _asked_in_corpus(cast.language, cast.width) if cast.language == "zh" else tuple(known)
    heard = _one_of(cast, asked)
    return heard, known[heard.utterance.text]


def _from_outside(cast: Cast) -> tuple[Heard, str]:
    if cast.language == "zh":
        asked = _everyday_in_corpus()
    else:
        asked = (strange.ask(cast.rng, "en", everyday),)
    return _one_of(cast, asked), outside.ANSWER[cast.language]


def _one_of(cast: Cast, texts: Sequence[str]) -> Heard:
    """One of the texts by a natural voice, which all of them have."""
    heard = _heard(cast, cast.rng.choice(texts)) if texts else None
    if heard is None:
        raise ValueError(f"the corpus asks nothing of that in {cast.language}")
    return heard


@lru_cache(maxsize=4)
def answers(language: Language, width: DomainWidth) -> Mapping[str, str]:
    """What is right for every fact and all small talk, as the tables put them."""
    found = {
        phrase: intent.answer[language]
        for intent in within(talk.INTENTS, width)
        for phrase in intent.phrases[language]
    }
    for group in within(GROUPS, width):
        for fact in within(group.facts, width):
            for wording in range(len(group.questions["en"])):
                for opening in range(len(facts.OPENINGS["en"])):
                    asked = facts.FactQuestion(group, fact, wording, opening)
                    if asked.split == "train":
                        found[asked.question(language)] = asked.answer(language)
    return found


@lru_cache(maxsize=2)
def _asked_in_corpus(language: Language, width: DomainWidth) -> tuple[str, ...]:
    return tuple(text for text in natural.corpus()[language] if text in answers(language, width))


@lru_cache(maxsize=1)
def _everyday_in_corpus() -> tuple[str, ...]:
    known = set(everyday.sentences("zh"))
    return tuple(text for text in natural.corpus()["zh"] if text in known)
