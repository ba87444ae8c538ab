"""What a teacher is given: symbols of Kokoro's alphabet, each with its place in the text.

Knows: symbols that last and symbols that only mark, lengths of symbols to sounds in time.
Does not know: languages, models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finetune.nano.speech.synthesis import Sound

STRESS = "ˈˌ"  # they belong to what follows
TONES = {1: "→", 2: "↗", 3: "↓", 4: "↘", 5: ""}
MARKS = "".join(TONES.values()) + "ːʰʲ"  # they belong to what stands before
PAUSES = ';:,.!?—…"()“”'
SILENCE = "_"
MOST = 500  # symbols of one utterance: the models were trained on no more


@dataclass(frozen=True)
class Phones:
    """Symbols and, for each, where its word or Hanzi begins in the text, in characters."""

    symbols: str
    places: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.symbols) != len(self.places):
            raise ValueError(f"{len(self.symbols)} symbols, but {len(self.places)} places")

    def known(self, alphabet: str) -> Phones:
        """Without the symbols that the alphabet lacks."""
        kept = [pair for pair in zip(self.symbols, self.places, strict=True) if pair[0] in alphabet]
        return Phones("".join(symbol for symbol, _ in kept), tuple(place for _, place in kept))


def timed(phones: Phones, lengths: Sequence[float]) -> tuple[Sound, ...]:
    """The sounds of an utterance.

    A mark's time is its phoneme's; a space's that of the phoneme before it; a pause is silence.

    Args:
        lengths: seconds: what comes first, then those of all symbols, then what comes last.
    """
    if len(lengths) != len(phones.symbols) + 2:
        raise ValueError(f"{len(phones.symbols)} symbols have {len(lengths)} lengths")
    sounds = [Sound(0.0, SILENCE, 0)]
    now, pending = lengths[0], None
    for symbol, place, length in zip(phones.symbols, phones.places, lengths[1:-1], strict=True):
        began = now if pending is None else pending
        now += length
        if symbol in STRESS:
            pending = began
            continue
        pending = None
        if symbol in PAUSES:
            if not sounds[-1].silent:
                sounds.append(Sound(began, SILENCE, place))
        elif symbol in MARKS and not sounds[-1].silent:
            last = sounds[-1]
            if symbol not in TONES.values():
                sounds[-1] = Sound(last.start_s, last.phoneme + symbol, last.place)
        elif not symbol.isspace():
            sounds.append(Sound(began, symbol, place))
    sounds.append(Sound(now, SILENCE, phones.places[-1] if phones.places else 0))
    return tuple(sounds)
