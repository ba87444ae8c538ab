"""The teachers' symbols as espeak-ng's phonemes: which of them sounds where a symbol stands.

Knows: aligning two readings of the same words, counting what stands for what.
Does not know: where readings come from.

Codes were learnt with espeak-ng's names for what is heard; natural speech comes with the names of
its teachers. Both read the same text, so which name stands for which is found by alignment, word by
word, with counts that are counted again by what they have become (as in a model of translation,
Brown et al. 1993, of one order and one to one at most).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from finetune.nano.speech.synthesis import Sound
from finetune.nano.speech.timing import NOWHERE

Likely = Mapping[str, Mapping[str, float]]
ROUNDS = 6
_FLOOR = 1e-4  # of a probability
_SKIPPED = 0.02  # of a symbol or a phoneme that stands for nothing


def by_words(sounds: Sequence[Sound]) -> dict[int, list[Sound]]:
    """The sounds of each word, by its place in the text; silence is left out."""
    found: dict[int, list[Sound]] = defaultdict(list)
    for sound in sounds:
        if not sound.silent:
            found[sound.place].append(sound)
    return found


def sounds_for(theirs: Sequence[Sound], ours: Sequence[Sound]) -> dict[int, list[Sound]]:
    """:func:`by_words` of ``ours``; all of it as one word where ``theirs`` tells no words apart."""
    places, words = by_words(theirs).keys(), by_words(ours)
    if len(places) != 1:
        return words
    return {place: [one for sounds in words.values() for one in sounds] for place in places}


def learn(pairs: Iterable[tuple[Sequence[Sound], Sequence[Sound]]]) -> Likely:
    """How likely each symbol of the first readings is each phoneme of the second ones."""
    words = []
    for theirs, ours in pairs:
        left, right = by_words(theirs), sounds_for(theirs, ours)
        words += [(names(left[place]), names(right[place])) for place in left.keys() & right.keys()]
    likely = _shares(_evenly(words))
    for _ in range(ROUNDS):
        likely = _shares(
            (symbols[row], phonemes[column])
            for symbols, phonemes in words
            for row, column in aligned(symbols, phonemes, likely)
        )
    return likely


def renamed(theirs: Sequence[Sound], ours: Sequence[Sound], likely: Likely) -> list[Sound]:
    """The first reading with the second one's names.

    What has no partner in its word is called as the next one that has (of a final, each part
    becomes the whole), or as the one before; in a word that the second reading lacks, as is
    likeliest.
    """
    words = sounds_for(theirs, ours)
    found = []
    for place, group in groupby(theirs, key=lambda sound: NOWHERE if sound.silent else sound.place):
        sounds = list(group)
        called = names(sounds)
        if place != NOWHERE:
            called = _names(called, names(words.get(place, [])), likely)
        found += [
            Sound(sound.start_s, name, sound.place)
            for sound, name in zip(sounds, called, strict=True)
        ]
    return found


def anchors(
    theirs: Sequence[Sound], ours: Sequence[Sound], likely: Likely
) -> list[tuple[float, float]]:
    """When the same begins in both readings, in seconds of the first and of the second one.

    Both sides rise, as far as the readings agree on the order.
    """
    left, right = by_words(theirs), sounds_for(theirs, ours)
    found = []
    for place in left.keys() & right.keys():
        first, second = left[place], right[place]
        pairs = aligned(names(first), names(second), likely)
        found += [(first[row].start_s, second[column].start_s) for row, column in pairs]
    rising: list[tuple[float, float]] = []
    for pair in sorted(found):
        if not rising or (pair[0] > rising[-1][0] and pair[1] > rising[-1][1]):
            rising.append(pair)
    return rising


def names(sounds: Iterable[Sound]) -> list[str]:
    """What sounds are called."""
    return [sound.phoneme for sound in sounds]


def _names(symbols: Sequence[str], phonemes: Sequence[str], likely: Likely) -> list[str]:
    partners = dict(aligned(symbols, phonemes, likely))
    names = []
    for row, symbol in enumerate(symbols):
        later = [partners[other] for other in range(row, len(symbols)) if other in partners]
        earlier = [partners[other] for other in range(row) if other in partners]
        if later or earlier:
            names.append(phonemes[later[0] if later else earlier[-1]])
        else:
            known = likely.get(symbol, {})
            names.append(max(known, key=lambda one: known[one]) if known else symbol)
    return names


def _evenly(
    words: Iterable[tuple[Sequence[str], Sequence[str]]],
) -> Iterator[tuple[str, str]]:
    """What stands at about the same place of a word, as a beginning."""
    for symbols, phonemes in words:
        for place, symbol in enumerate(symbols):
            if phonemes:
                at = int((place + 0.5) / len(symbols) * len(phonemes))
                yield symbol, phonemes[min(len(phonemes) - 1, at)]


def _shares(pairs: Iterable[tuple[str, str]]) -> Likely:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for symbol, phoneme in pairs:
        counts[symbol][phoneme] += 1
    return {
        symbol: {phoneme: count / found.total() for phoneme, count in found.items()}
        for symbol, found in counts.items()
    }


def aligned(
    symbols: Sequence[str], phonemes: Sequence[str], likely: Likely
) -> list[tuple[int, int]]:
    """The likeliest pairs of places, in order; what has no partner is left out."""
    gap = math.log(_SKIPPED)
    best = [
        [gap * (row + column) for column in range(len(phonemes) + 1)]
        for row in range(len(symbols) + 1)
    ]
    straight = [
        [math.log(max(likely.get(symbol, {}).get(phoneme, 0.0), _FLOOR)) for phoneme in phonemes]
        for symbol in symbols
    ]
    for row in range(1, len(symbols) + 1):
        for column in range(1, len(phonemes) + 1):
            best[row][column] = max(
                best[row - 1][column] + gap,
                best[row][column - 1] + gap,
                best[row - 1][column - 1] + straight[row - 1][column - 1],
            )
    pairs = []
    row, column = len(symbols), len(phonemes)
    while row and column:
        if best[row][column] == best[row - 1][column - 1] + straight[row - 1][column - 1]:
            row, column = row - 1, column - 1
            pairs.append((row, column))
        elif best[row][column] == best[row - 1][column] + gap:
            row -= 1
        else:
            column -= 1
    return pairs[::-1]
