"""The questions of the quality table, from the test side of the synthetic data.

Knows: which held-out sentences, voices, pictures and clips each row asks about, and the right
answers. Does not know: engines, scores.

The sides (:mod:`finetune.nano.domain.splits`) are a property of each combination: no seed can bring
a sentence, picture, clip or voice of these into training. What is chosen by figures (a training's
settings) is chosen by those of the validation side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from random import Random

from finetune.nano.domain import sentences
from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import Split, stable_hash
from finetune.nano.domain.width import LANGUAGES, DomainWidth
from finetune.nano.examples.cast import Cast
from finetune.nano.examples.examples import example
from finetune.nano.examples.parts import Example, Heard, Task
from finetune.nano.speech.voices import PITCHES, Voice, families
from omni.conversation import DEFAULT_SYSTEM_TEXT
from omni.prompting.styles import STYLES, StyleName
from omni.prompting.system_text import joined

SEED = 2718
AMONG, AMONG_HARD = 50, 10  # sentences, of which one was read
VOICES = 8  # of which one was the prompt's
TURN_TASKS: tuple[Task, ...] = ("chat", "image_qa", "video_qa", "spoken_qa")  # that are timed


def held_out(
    task: Task, number: int, language: Language, width: DomainWidth, split: Split = "test"
) -> Example:
    """The ``number``-th example of a task."""
    return example(number, SEED, split, task, width, language)


def timed_example(number: int, width: DomainWidth) -> Example:
    """A question of a turn with a stopwatch: languages and tasks by turns."""
    task = TURN_TASKS[number // len(LANGUAGES) % len(TURN_TASKS)]
    return held_out(task, number, LANGUAGES[number % len(LANGUAGES)], width)


@lru_cache(maxsize=8)
def sentence_sets(
    language: Language, count: int, width: DomainWidth, split: Split = "test"
) -> tuple[tuple[str, ...], ...]:
    """``count`` different held-out sentences, each with nine that differ in one word.

    Raises:
        ValueError: there are not so many.
    """
    found: dict[str, tuple[str, ...]] = {}
    for draws in (2 * count + 20, 20 * count + 200):
        for texts in sentences.hard_sets(split, language, draws, SEED, width, AMONG_HARD):
            found.setdefault(texts[0], texts)
        if len(found) >= count:
            return tuple(found.values())[:count]
    raise ValueError(f"there are no {count} held-out sentences at width {width}")


@lru_cache(maxsize=8)
def _pool(language: Language, width: DomainWidth, split: Split) -> tuple[str, ...]:
    drawn = sentences.draw_many(4 * AMONG, SEED, split, width)
    return tuple(dict.fromkeys(sentence.text(language) for sentence in drawn))


def with_others(
    text: str, language: Language, width: DomainWidth, split: Split = "test"
) -> list[str]:
    """The sentence and 49 other held-out ones."""
    rng = Random(stable_hash("others", text, SEED))
    others = [other for other in _pool(language, width, split) if other != text]
    return [text, *rng.sample(others, AMONG - 1)]


@dataclass(frozen=True)
class Cloning:
    """A recording whose voice is to be taken, what is to be said, eight voices: its own first."""

    text: str
    prompt: Heard
    voices: tuple[Voice, ...]


def cloning(number: int, language: Language, width: DomainWidth, split: Split = "test") -> Cloning:
    """A voice prompt as in the training data, of a held-out voice and held-out sentences.

    The validation side has too few voices to choose from: there the others may be of training.
    """
    rng = Random(stable_hash("clone", number, language, width, SEED))
    cast = Cast(rng, split, width, language)
    cast.clone()
    prompt, own = cast.system.voice, cast.answerer
    assert prompt is not None
    known = families(split) if split == "test" else (*families(split), *families("train"))
    others = [family for family in known if own.variant not in family]
    voices = [Voice(rng.choice(f), rng.choice(PITCHES)) for f in rng.sample(others, VOICES - 1)]
    text = sentences.draw(rng, split, width).text(language)
    return Cloning(text, prompt, (own, *voices))


def styled_system(style: StyleName, number: int, language: Language) -> str:
    """The system text of the program with a wish for a style, its wordings by turns."""
    wordings = STYLES[style].systems[language]
    return joined([DEFAULT_SYSTEM_TEXT, wordings[number % len(wordings)]])
