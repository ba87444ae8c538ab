"""The voices: which there are, and which of them training never hears.

Knows: the variants of espeak-ng that sound apart, grouped by likeness, and their sides; how often
training hears a drawn voice instead. Does not know: how speech is made.

A voice is a variant at a base pitch. Variants that sound alike are one family and on one side:
families were found by clustering mel cepstra and pitch of the same sentences in both languages
(average linkage). Left out are variants that have no pitch or a broken one (whisper, croak,
robosoft6), that ignore the speaking rate (anika, antonio, pedro, UniRobot ...), that distort
(iven), and all but one of exact copies (klatt4, klatt5, klatt6, caleb are adam).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from finetune.nano.domain.splits import Split
from finetune.nano.speech.drawn_voices import COUNT, variant_name

# Families, one a line: the first variant is the most typical one.
_FAMILIES: Mapping[Split, str] = {
    "train": """
f2 f3 f5
f1
f4 aunty
Alicia
steph
zac
m3 m1 m2 m4 m5 m6 Alex max Mike RicishayMax
adam klatt klatt2 klatt3 benjamin edward
Diogo Henrique Hugo michel miguel
m8 quincy
m7 Mario
Gene Gene2
Andy
Jacky
Tweaky
boris
david
norbert
paul
sandro
travis
""",
    "validation": """
grandma
gustave Michael
pablo robert
Lee
""",
    "test": """
linda Annie belinda
shelby
Nguyen
victor Denis
ed
marcelo
kaukovalta
Marco
""",
}
PITCHES = (38, 50, 62)  # of espeak's 0 to 99; styles need room on both sides
DRAWN_SHARE = 0.7  # of the voices of training: no two of these are alike
HEARD_RATES = (0.85, 1.25)  # times the usual rate, of people who talk to the model
HEARD_PITCH_JITTER = 4  # steps: nobody speaks at one pitch


@dataclass(frozen=True)
class Voice:
    """Who speaks: a variant of espeak-ng at a base pitch (espeak's steps, 0 to 99)."""

    variant: str
    pitch: int

    @property
    def name(self) -> str:
        """As in ``f2-50``."""
        return f"{self.variant}-{self.pitch}"


# The voice of every answer that nobody gave another voice for.
DEFAULT_VOICE = Voice("f2", 50)


@lru_cache(maxsize=8)
def families(split: Split) -> tuple[tuple[str, ...], ...]:
    """The variants of one side, those that sound alike together."""
    return tuple(tuple(line.split()) for line in _FAMILIES[split].strip().split("\n"))


@lru_cache(maxsize=8)
def voices(split: Split) -> tuple[Voice, ...]:
    """All voices of one side."""
    return tuple(
        Voice(variant, pitch)
        for family in families(split)
        for variant in family
        for pitch in PITCHES
    )


def draw_voice(rng: Random, split: Split) -> Voice:
    """A voice of one side, every family equally often; for training often one that is drawn."""
    if split == "train" and rng.random() < DRAWN_SHARE:
        return Voice(variant_name(rng.randrange(COUNT)), rng.choice(PITCHES))
    family = rng.choice(families(split))
    return Voice(rng.choice(family), rng.choice(PITCHES))


def distinct_voices(rng: Random, split: Split, count: int) -> list[Voice]:
    """Voices of different families, for comparisons.

    Raises:
        ValueError: there are fewer families.
    """
    known = families(split)
    if count > len(known):
        raise ValueError(f"{split} has {len(known)} families of voices, not {count}")
    return [Voice(rng.choice(family), rng.choice(PITCHES)) for family in rng.sample(known, count)]
