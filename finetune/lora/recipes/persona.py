"""Recipe 1: new facts, and somebody who wakes up at a word and has a voice of her own.

Knows: invented facts and how they are asked for, what wakes the persona, which wordings are held
out: for choosing a training's settings (validation), and for comparing. Does not know: files,
training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal, TypeAlias

from finetune.nano.domain.asking import system_text
from finetune.nano.examples.cast import Cast
from finetune.nano.examples.parts import Example, System, Turn
from finetune.nano.speech.voices import DEFAULT_VOICE, Voice
from omni.conversation import DEFAULT_SYSTEM_TEXT

SEED = 41
PERSONA_VOICE = Voice("m3", 38)
# The eight that a listener may choose from; the usual voice of the answers is among them.
VOICES = (
    PERSONA_VOICE,
    DEFAULT_VOICE,
    Voice("f4", 62),
    Voice("Alicia", 50),
    Voice("adam", 50),
    Voice("m8", 50),
    Voice("Andy", 62),
    Voice("zac", 38),
)


Side: TypeAlias = Literal["wordings", "validation", "held_out"]  # which wordings of a topic


@dataclass(frozen=True)
class Topic:
    """Something to know about people: how it is asked for, how it is answered."""

    wordings: tuple[str, ...]  # that are learnt
    validation: tuple[str, ...]
    held_out: tuple[str, ...]
    answer: str
    facts: tuple[tuple[str, str], ...]  # who, what


# Words that the embedded model has said before: adapters teach it facts, not words.
PEOPLE = ("brother", "sister", "mother", "father", "friend", "teacher")
_ANIMALS = ("seven cats", "two dogs", "five rabbits", "three horses", "nine birds", "four cows")
_DAYS = ("Monday", "Friday", "Sunday", "Tuesday", "Saturday", "Thursday")
TOPICS = (
    Topic(
        (
            "What does my {x} have?",
            "Tell me what my {x} has.",
            "Which animals does my {x} have?",
            "How many animals does my {x} have?",
            "What is in the house of my {x}?",
        ),
        ("Tell me which animals my {x} has.", "What does my {x} have in the house?"),
        (
            "Please tell me what my {x} has.",
            "What animals does my {x} have?",
            "Which animals are in the house of my {x}?",
        ),
        "My {x} has {y}.",
        tuple(zip(PEOPLE, _ANIMALS, strict=True)),
    ),
    Topic(
        (
            "On which day is my {x} here?",
            "What day is my {x} here?",
            "Tell me the day of my {x}.",
            "Which day is the day of my {x}?",
            "My {x} comes on which day?",
        ),
        ("My {x} is here on which day?", "Tell me on which day my {x} is here."),
        (
            "Which day is my {x} here?",
            "Please tell me the day of my {x}.",
            "On what day is my {x} here?",
        ),
        "On {y}.",
        tuple(zip(PEOPLE, _DAYS, strict=True)),
    ),
)
WAKING = (
    "Hello, Beep!",
    "Hey, Beep!",
    "Good morning, Beep!",
    "Beep, are you there?",
    "Beep, can you hear me?",
    "Are you there, Beep?",
    "Beep, good morning!",
    "Please listen, Beep!",
)
WAKING_VALIDATION = (
    "Hello, Beep, are you there?",
    "Beep, hey!",
    "Good morning, good morning, Beep!",
    "Hey, hey, Beep!",
    "Can you hear me, can you hear me, Beep?",
    "Hello, Beep, please listen!",
    "Beep, hi!",
    "Listen, Beep!",
)
WAKING_HELD_OUT = (
    "Hello, hello, Beep!",
    "Hey, Beep, are you there?",
    "Beep, hello!",
    "Can you hear me, Beep?",
    "Good morning, Beep, are you there?",
    "Hi, Beep!",
    "Beep, please listen!",
    "Hello, Beep, can you hear me?",
)
AWAKE = "Beep, yes, I hear you. I am fine, thank you."
# What follows: the persona keeps the voice.
AFTERWARDS = (
    ("How are you?", "I am fine, thank you."),
    ("Thank you!", "You are welcome."),
    ("What is two plus three?", "five"),
    ("Say: The dog is below the table.", "The dog is below the table."),
    ("What is four plus five?", "nine"),
    ("Say: I see a small bird.", "I see a small bird."),
)


@dataclass(frozen=True)
class Question:
    """Something to ask, and what is right."""

    question: str
    answer: str


def facts(people: int = len(PEOPLE), side: Side = "wordings") -> list[Question]:
    """The questions after the facts about the first ``people``."""
    return [
        Question(wording.format(x=who), topic.answer.format(x=who, y=what))
        for topic in TOPICS
        for who, what in topic.facts[:people]
        for wording in getattr(topic, side)
    ]


def rows(people: int = len(PEOPLE), wakings: int = 40) -> Iterator[Example]:
    """The rows that teach it: facts with answers in the usual voice, and the persona."""
    rng = Random(SEED)
    for number, asked in enumerate(facts(people)):
        cast = _cast(rng, DEFAULT_VOICE)
        turns = _exchange(cast, asked.question, asked.answer, spoken=number % 4 == 3)
        yield cast.example("chat", *turns, speech=number % 3 != 2)
    for number in range(wakings):
        cast = _cast(rng, PERSONA_VOICE)
        turns = _exchange(cast, WAKING[number % len(WAKING)], AWAKE, spoken=number % 3 == 2)
        if number >= len(WAKING):
            more = AFTERWARDS[(number + number // len(WAKING)) % len(AFTERWARDS)]
            turns += _exchange(cast, *more, spoken=False)
        yield cast.example("chat", *turns, speech=True)


def held_out_rows(
    people: int = len(PEOPLE), side: Literal["validation", "held_out"] = "held_out"
) -> Iterator[Example]:
    """Rewordings of the same that are not learnt: facts, then awakenings."""
    rng = Random(SEED + 1)
    for asked in facts(people, side):
        cast = _cast(rng, DEFAULT_VOICE)
        cast.system = System(DEFAULT_SYSTEM_TEXT)
        turns = _exchange(cast, asked.question, asked.answer, spoken=False)
        yield cast.example("chat", *turns, speech=False)
    for waking in WAKING_HELD_OUT if side == "held_out" else WAKING_VALIDATION:
        cast = _cast(rng, PERSONA_VOICE)
        cast.system = System(DEFAULT_SYSTEM_TEXT)
        yield cast.example("chat", *_exchange(cast, waking, AWAKE, spoken=False), speech=True)


def _cast(rng: Random, voice: Voice) -> Cast:
    cast = Cast(rng, "train", "core", "en")
    cast.system = System(system_text(rng, "en"))
    cast.answerer = voice
    return cast


def _exchange(cast: Cast, question: str, answer: str, spoken: bool) -> list[Turn]:
    asked = cast.ask(question, "spoken" if spoken else "typed", exact=True)
    return [asked, cast.answer(answer)]
