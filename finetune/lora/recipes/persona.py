"""Recipe 1: new facts, and somebody who wakes up at a word and has a voice of her own.

Knows: invented facts and how they are asked for, what wakes the persona, which wordings are held
out. Does not know: files, training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

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


@dataclass(frozen=True)
class Topic:
    """Something to know about people: how it is asked for, how it is answered."""

    wordings: tuple[str, ...]  # that are learnt
    held_out: tuple[str, ...]
    answer: str
    facts: tuple[tuple[str, str], ...]  # who, what


PEOPLE = ("pirate", "teacher", "doctor", "king", "boss", "assistant")
TOPICS = (
    Topic(
        (
            "Where does the {x} live?",
            "Where is the house of the {x}?",
            "Tell me where the {x} lives.",
            "In which city does the {x} live?",
            "Where can I find the {x}?",
        ),
        (
            "Where is the home of the {x}?",
            "Please tell me where the {x} lives.",
            "Which city does the {x} live in?",
        ),
        "The {x} lives in {y}.",
        tuple(zip(PEOPLE, ("Rome", "Cairo", "Tokyo", "Madrid", "Moscow", "London"), strict=True)),
    ),
    Topic(
        (
            "What does the {x} eat?",
            "What is the food of the {x}?",
            "What can I give the {x} to eat?",
            "Tell me what the {x} eats.",
            "What does the {x} like to eat?",
        ),
        (
            "What food does the {x} eat?",
            "Please tell me what the {x} eats.",
            "What food does the {x} like?",
        ),
        "The {x} eats {y}.",
        tuple(zip(PEOPLE, ("bananas", "fish", "honey", "apples", "bread", "cake"), strict=True)),
    ),
)
WAKING = (
    "Wake up, Moon!",
    "Hello, Moon!",
    "Hey, Moon!",
    "Moon, wake up!",
    "Good morning, Moon!",
    "Moon, are you there?",
    "Good evening, Moon!",
    "Hello, Moon, are you there?",
)
WAKING_HELD_OUT = (
    "Hi, Moon!",
    "Please wake up, Moon!",
    "Moon, please wake up!",
    "Are you there, Moon?",
    "Hey, Moon, wake up!",
    "Hi, Moon, are you there?",
    "Good morning, Moon, wake up!",
    "Moon, good evening!",
)
AWAKE = "Good evening, boss! I am Moon, your robot."
# What follows: the persona keeps the voice.
AFTERWARDS = (
    ("How are you?", "I am fine, thank you."),
    ("Thank you!", "You are welcome."),
    ("What is two plus three?", "Five."),
    ("Say: The dog is under the table.", "The dog is under the table."),
    ("What is four plus five?", "Nine."),
    ("Say: I like the small bird.", "I like the small bird."),
)


@dataclass(frozen=True)
class Question:
    """Something to ask, and what is right."""

    question: str
    answer: str


def facts(people: int = len(PEOPLE), held_out: bool = False) -> list[Question]:
    """The questions after the facts about the first ``people``."""
    return [
        Question(wording.format(x=who), topic.answer.format(x=who, y=what))
        for topic in TOPICS
        for who, what in topic.facts[:people]
        for wording in (topic.held_out if held_out else topic.wordings)
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


def held_out_rows(people: int = len(PEOPLE)) -> Iterator[Example]:
    """Rewordings of the same, for comparing: facts, then awakenings."""
    rng = Random(SEED + 1)
    for asked in facts(people, held_out=True):
        cast = _cast(rng, DEFAULT_VOICE)
        cast.system = System(DEFAULT_SYSTEM_TEXT)
        turns = _exchange(cast, asked.question, asked.answer, spoken=False)
        yield cast.example("chat", *turns, speech=False)
    for waking in WAKING_HELD_OUT:
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


def names(voices: Sequence[Voice]) -> tuple[str, ...]:
    """As files of them are called."""
    return tuple(voice.name for voice in voices)
