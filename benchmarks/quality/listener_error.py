"""How often the listener itself is wrong: on espeak-ng's own speech, of held-out sentences.

Knows: which utterances it is tested on. Does not know: how it was trained
(:mod:`benchmarks.listeners.train_recognizer`).
"""

from __future__ import annotations

from random import Random

from benchmarks.quality.recognizer import RATE, Recognizer, error_rate
from finetune.nano.domain import sentences
from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import stable_hash
from finetune.nano.domain.width import DomainWidth
from finetune.nano.speech.synthesis import Utterance, speak
from finetune.nano.speech.texts import heard
from finetune.nano.speech.voices import Voice, draw_voice

SEED = 5


def held_out_utterances(
    language: Language, count: int, width: DomainWidth, voice: Voice | None = None
) -> list[Utterance]:
    """Held-out sentences by held-out voices, or by one voice."""
    rng = Random(stable_hash("recognizer-test", language, SEED, width))
    texts = [entry.text(language) for entry in sentences.draw_many(count, SEED, "test", width)]
    if voice:
        return [Utterance(text, language, voice) for text in texts]
    return [heard(rng, text, language, draw_voice(rng, "test")) for text in texts]


def own_error(recognizer: Recognizer, said: list[Utterance]) -> float:
    """Word error in percent (Chinese: characters) on espeak-ng's own speech."""
    language = said[0].language
    found = [recognizer.hear(speak(entry, RATE), language) for entry in said]
    return error_rate(found, [entry.text for entry in said], language)
