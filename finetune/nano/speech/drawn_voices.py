"""Voices that nobody made by hand: random settings for espeak-ng's synthesizer.

Knows: the format of espeak-ng's variant files and how far each setting may go.
Does not know: which voices training hears (:mod:`finetune.nano.speech.voices`), how they are
spoken.

Two dozen families of voices teach a model those voices, not voices. A drawn one differs from every
other in the length of its throat, its formants, its pitch, how it moves and how rough it is.
"""

from __future__ import annotations

import math
from functools import lru_cache
from random import Random

PREFIX = "drawn"
COUNT = 100_000  # different ones
THROATS = (0.8, 1.35)  # times the formants of espeak's usual man
PITCHES_HZ = (65.0, 240.0)  # the lowest pitch of a sentence
PITCH_RANGES = (1.1, 1.7)  # the highest over the lowest
FORMANTS = 9  # of which 0 is the bass, 1 and 2 make the vowels, 3 and up the timbre
_LOW_FORMANTS = 3
# The standard deviation of the formants' frequencies around the throat's, of the low and high ones.
_SPREADS = ((0.03, 0.12), (0.05, 0.2))
_HEIGHTS = ((55, 160), (15, 150))  # percent
_TREBLES = (0.1, 1.2)  # times the heights of all high formants: some voices have hardly any
_WIDTHS = ((45, 170), (35, 170))  # percent
_KLATT_SHARE = 0.15  # of the voices: by another synthesizer, as some of espeak-ng's variants are
_KLATT_KINDS = (1, 2, 3, 5, 6)


def variant_name(number: int) -> str:
    """The variant's name, as in ``drawn17``.

    Raises:
        ValueError: there is no such number.
    """
    if not 0 <= number < COUNT:
        raise ValueError(f"drawn voices have numbers below {COUNT}, not {number}")
    return f"{PREFIX}{number}"


@lru_cache(maxsize=1024)
def variant_file(name: str) -> str | None:
    """The text of a drawn variant's file; None: the name is of a variant of espeak-ng's own."""
    number = name.removeprefix(PREFIX)
    if number == name or not number.isdecimal():
        return None
    rng = Random(int(number))
    lines = ["language variant", f"name {name}", *_pitch(rng), *_formants(rng), *_manner(rng)]
    return "\n".join(lines) + "\n"


def _between(rng: Random, bounds: tuple[float, float]) -> float:
    """Any ratio within the bounds is as likely as any other."""
    low, high = bounds
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _pitch(rng: Random) -> list[str]:
    low = _between(rng, PITCHES_HZ)
    return [f"pitch {low:.0f} {low * rng.uniform(*PITCH_RANGES):.0f}"]


def _formants(rng: Random) -> list[str]:
    """``formant NUMBER FREQUENCY HEIGHT WIDTH``, each in percent of the usual."""
    throat, treble = _between(rng, THROATS), _between(rng, _TREBLES)
    spreads = [rng.uniform(*bounds) for bounds in _SPREADS]
    lines = []
    for number in range(FORMANTS):
        high = int(number >= _LOW_FORMANTS)
        frequency = 100 * throat * math.exp(rng.gauss(0, spreads[high]))
        height = rng.uniform(*_HEIGHTS[high]) * (treble if high else 1)
        width = rng.uniform(*_WIDTHS[high])
        lines.append(f"formant {number} {frequency:.0f} {height:.0f} {width:.0f}")
    return lines


def _manner(rng: Random) -> list[str]:
    """What only some people have."""

    def numbers(count: int, low: int, high: int) -> str:
        return " ".join(str(rng.randint(low, high)) for _ in range(count))

    possible = (
        (0.4, "flutter " + numbers(1, 0, 15)),
        (0.3, "roughness " + numbers(1, 0, 4)),
        (0.5, "voicing " + numbers(1, 40, 190)),
        (0.5, "consonants " + numbers(2, 40, 170)),
        (0.25, "breath " + numbers(8, 0, 6)),
        (0.2, f"echo {rng.randint(30, 160)} {rng.randint(5, 40)}"),
        (0.2, "intonation " + numbers(1, 1, 4)),
        (0.3, "stressAdd " + numbers(8, -30, 70)),
        (0.3, "stressAmp " + numbers(8, 14, 28)),
        (
            0.35,
            f"tone {rng.randint(100, 700)} {rng.randint(100, 255)} "
            f"{rng.randint(900, 1600)} {rng.randint(30, 255)} "
            f"{rng.randint(2000, 5000)} {rng.randint(20, 255)}",
        ),
        (_KLATT_SHARE, f"klatt {rng.choice(_KLATT_KINDS)}"),
    )
    return [line for share, line in possible if rng.random() < share]
