"""Texts to read aloud and to transcribe, and utterances of them.

Knows: the mixture of sentences, questions, answers and loose words; who says them.
Does not know: conversations.

Outside of training only the held-out sentences of :mod:`finetune.nano.domain.sentences` are drawn.
"""

from __future__ import annotations

from random import Random

from finetune.nano.domain import facts, sentences, talk
from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import TABLES, table
from finetune.nano.domain.splits import Split, stable_hash
from finetune.nano.domain.styles import ASKED_STYLES
from finetune.nano.domain.width import LANGUAGES, DomainWidth
from finetune.nano.pictures import clip_questions, picture_questions
from finetune.nano.speech.synthesis import Utterance
from finetune.nano.speech.voices import (
    DEFAULT_VOICE,
    HEARD_PITCH_JITTER,
    HEARD_RATES,
    Voice,
    draw_voice,
)

_SENTENCES, _QUESTIONS, _ANSWERS = 0.6, 0.15, 0.15  # shares; the rest are loose words
# Of the utterances for the stages that learn sound alone:
_STYLED_SHARE = 0.3
_ANSWERS_VOICE_SHARE = 0.15  # the voice that is heard most; by chance it would be one in 200


def draw_text(rng: Random, language: Language, split: Split, width: DomainWidth) -> str:
    """A text of one side."""
    share = rng.random()
    if split != "train" or share < _SENTENCES:
        return sentences.draw(rng, split, width).text(language)
    if share < _SENTENCES + _QUESTIONS + _ANSWERS:
        question, answer = _exchange(rng, language, width)
        return question if share < _SENTENCES + _QUESTIONS else answer
    return _loose_words(rng, language, width)


def draw_question(rng: Random, language: Language, width: DomainWidth) -> str:
    """A question of training, about a picture, a clip, a fact or nothing."""
    return _exchange(rng, language, width)[0]


def _exchange(rng: Random, language: Language, width: DomainWidth) -> tuple[str, str]:
    """A question of training and its answer."""
    source = rng.randrange(4)
    if source == 0:
        fact = facts.draw(rng, "train", width)
        return fact.question(language), fact.answer(language)
    if source == 1:
        intent, phrase = talk.draw(rng, language, "train", width)
        return phrase, intent.answer[language]
    draw = picture_questions.draw_asked_scene if source == 2 else clip_questions.draw_asked_clip
    _, asked = draw(rng, "train", width)
    return asked.question(language), asked.answer(language)


def _loose_words(rng: Random, language: Language, width: DomainWidth) -> str:
    """Two to six words in no order, so that words are learnt apart from their templates."""
    words = [rng.choice(table(rng.choice(list(TABLES)), width)) for _ in range(rng.randint(2, 6))]
    if language == "en":
        return " ".join(rng.choice((word.en, word.plural or word.en)) for word in words)
    return "".join(word.zh for word in words)


def heard(rng: Random, text: str, language: Language, voice: Voice) -> Utterance:
    """A text as a person says it, a little faster, slower, higher or lower than the usual."""
    shift = rng.randint(-HEARD_PITCH_JITTER, HEARD_PITCH_JITTER)
    return Utterance(
        text, language, voice, tempo=round(rng.uniform(*HEARD_RATES), 3), pitch_shift=shift
    )


def utterance(
    index: int,
    seed: int,
    split: Split,
    width: DomainWidth = "full",
    language: Language | None = None,
) -> Utterance:
    """The ``index``-th random utterance, for the stages that learn sound alone.

    All voices of the side, in training that of the answers more often than others, with moods and
    styles; a function of its arguments.
    """
    rng = Random(stable_hash("utterance", index, seed, split, width, language))
    spoken = rng.choice(LANGUAGES) if language is None else language
    text = draw_text(rng, spoken, split, width)
    answers = split == "train" and rng.random() < _ANSWERS_VOICE_SHARE
    said = heard(rng, text, spoken, DEFAULT_VOICE if answers else draw_voice(rng, split))
    return said.styled(rng.choice(ASKED_STYLES)) if rng.random() < _STYLED_SHARE else said
