"""Recipe 3: an accent that is not understood, for recognition.

Knows: espeak-ng reads English with the sounds of another language; held-out sentences are new ones,
by new voices.
Does not know: files, training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import numpy as np

from finetune.nano.domain import sentences
from finetune.nano.domain.splits import Split
from finetune.nano.examples.cast import Cast
from finetune.nano.examples.parts import Example, Heard, System, Turn
from finetune.nano.speech.augment import record
from finetune.nano.speech.synthesis import HEARD_RATE, speak

SEED = 43
ACCENT = "de"  # English as a German would read it


@dataclass(frozen=True)
class Accented(Heard):
    """Something that a person says with an accent."""

    accent: str = ACCENT

    def waveform(self) -> np.ndarray:
        """float32 (samples,) at 16 kHz."""
        return record(speak(self.utterance, HEARD_RATE, self.accent), self.recording)


def rows(count: int = 100, held_out: bool = False, accent: str = ACCENT) -> Iterator[Example]:
    """Recordings with what they say, in the published form for transcription.

    Args:
        held_out: sentences and voices of the test side.
    """
    split: Split = "test" if held_out else "train"
    rng = Random(SEED + held_out)
    for _ in range(count):
        cast = Cast(rng, split, "core", "en")
        cast.system = System()
        text = sentences.draw(rng, split, "core").text("en")
        heard = cast.hear(text)
        asked = Accented(heard.utterance, heard.recording, accent)
        yield cast.example(
            "asr",
            Turn("user", (asked,)),
            Turn("assistant", (cast.say(text),)),  # whole, whatever its punctuation
            form="transcription",
            speech=False,
        )
