"""The rows of the quality table: how each is measured.

Knows: which questions (:mod:`benchmarks.quality.held_out`) go to the engine in which way, what
counts as right. Does not know: bounds, flags, files of results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from random import Random
from statistics import median, quantiles

import numpy as np
import soxr

from benchmarks.quality import listener_error
from benchmarks.quality import recognizer as listening
from benchmarks.quality.held_out import (
    cloning,
    held_out,
    sentence_sets,
    styled_system,
    timed_example,
)
from benchmarks.quality.held_out import with_others as among_others
from benchmarks.quality.scoring import MEASURED_STYLES, Score, score, style_change, style_met
from benchmarks.quality.talking import Talker, conversation
from finetune.measures.likeness import cepstra, is_heard, nearest, nearest_voice, voice_print
from finetune.measures.texts import exact
from finetune.nano.domain import asking
from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import Split
from finetune.nano.domain.width import DomainWidth
from finetune.nano.examples.parts import Example, Heard, Task
from finetune.nano.speech import synthesis
from finetune.nano.speech.voices import DEFAULT_VOICE, Voice, draw_voice
from omni.conversation import DEFAULT_SYSTEM_TEXT, Conversation, Text
from omni.events import TurnStats

ENOUGH = 200  # items of a row


@dataclass(frozen=True)
class Measured:
    """A value (None: there is none), of how many items, and what to know about it."""

    value: float | None
    items: int
    note: str


@dataclass(frozen=True)
class Record:
    """An answer: what was wanted, what came."""

    row: str
    wanted: str
    found: str
    right: bool


@dataclass(frozen=True, eq=False)
class Reading:
    """A sentence that the model read aloud, and nine others that differ in one word."""

    sentences: tuple[str, ...]  # the first was read
    wave: np.ndarray  # float32 (samples,) at 24 kHz


@dataclass
class Bench:
    """An engine that is measured on ``items`` questions a row; shared readings are kept."""

    talker: Talker
    width: DomainWidth = "core"
    items: int = ENOUGH
    weights: Path = listening.WEIGHTS  # of the recognizer
    split: Split = "test"  # the side that the questions come from
    records: list[Record] = field(default_factory=list)
    _readings: dict[Language, list[Reading]] = field(default_factory=dict)
    _turns: list[TurnStats] = field(default_factory=list)

    def readings(self, language: Language) -> list[Reading]:
        """Held-out sentences read aloud in the default voice; spoken once for three rows.

        By turns a sentence is given to the reader (the published form without roles) and asked
        for by a message, as in a chat.
        """
        if language not in self._readings:
            sets = sentence_sets(language, self.items, self.width, self.split)
            self._readings[language] = [
                self._reading(texts, language, number) for number, texts in enumerate(sets)
            ]
        return self._readings[language]

    def _reading(self, texts: tuple[str, ...], language: Language, number: int) -> Reading:
        if number % 2:
            answer = self.talker.speak(reading_request(texts[0], language), number)
        else:
            answer = self.talker.read(texts[0], number)
        return Reading(texts, answer.wave)

    def turns(self) -> list[TurnStats]:
        """The numbers of spoken answers to questions of all kinds in both languages."""
        if not self._turns:
            self._timed(0)  # what is built at the first turn is not a turn's work
            self._turns = [self._timed(number) for number in range(self.items)]
        return self._turns

    def _timed(self, number: int) -> TurnStats:
        question = self.talker.asked(timed_example(number, self.width))
        return self.talker.speak(question, number).stats

    def record(self, row: str, language: Language, wanted: str, found: str, right: bool) -> None:
        """Note an answer, for a look at what went wrong."""
        name = f"zh_{row}" if language == "zh" else row
        self.records.append(Record(name, wanted, found, right))

    def examples(self, task: Task, language: Language) -> list[Example]:
        """The held-out examples of a task."""
        numbers = range(self.items)
        return [held_out(task, number, language, self.width, self.split) for number in numbers]


def reading_request(
    text: str, language: Language, system: str = DEFAULT_SYSTEM_TEXT, voice: Path | None = None
) -> Conversation:
    """A message that asks to read a text aloud."""
    asked = asking.READ[language][0].format(text=text)
    return conversation([Text(asked)], language, system, voice)


def speech_retrieval(bench: Bench, language: Language) -> Measured:
    """Whether espeak-ng's reading of what was read is the nearest of 50 sentences."""
    return _retrieval(
        bench,
        language,
        "speech_retrieval",
        lambda texts: among_others(texts[0], language, bench.width, bench.split),
    )


def speech_retrieval_hard(bench: Bench, language: Language) -> Measured:
    """The same of 10 sentences that differ in one word."""
    return _retrieval(bench, language, "speech_retrieval_hard", list)


def _retrieval(
    bench: Bench,
    language: Language,
    name: str,
    candidates: Callable[[tuple[str, ...]], list[str]],
) -> Measured:
    """Whether the first candidate is the nearest, by the warped distance of mel cepstra."""
    verdicts = []
    for reading in bench.readings(language):
        texts = candidates(reading.sentences)[::-1]  # the right one last: a tie is a miss
        known = [spoken_cepstra(text, language) for text in texts]
        found = texts[nearest(cepstra(reading.wave), known)]
        verdicts.append(is_heard(reading.wave) and found == reading.sentences[0])
        bench.record(name, language, reading.sentences[0], found, verdicts[-1])
    return _two_ways(verdicts)


def speech_wer(bench: Bench, language: Language) -> Measured:
    """Word error of the recognizer on what was read; in Chinese characters are counted."""
    try:
        recognizer = listening.load_recognizer(bench.weights)
    except FileNotFoundError as error:
        return Measured(None, 0, f"no recognizer: {error}")
    readings = bench.readings(language)
    found = [recognizer.hear(at_16_khz(reading.wave), language) for reading in readings]
    wanted = [reading.sentences[0] for reading in readings]
    for pair in zip(wanted, found, strict=True):
        bench.record(
            "speech_wer", language, *pair, listening.error_rate(pair[1:], pair[:1], language) == 0
        )
    same, other = (
        listener_error.own_error(
            recognizer,
            listener_error.held_out_utterances(language, ENOUGH, bench.width, voice),
        )
        for voice in (DEFAULT_VOICE, None)
    )
    unit = "of characters; " if language == "zh" else ""
    own = f"{same:.2g} % in the voice of the answers, {other:.2g} % by held-out voices"
    note = f"%, {unit}the recognizer's own on held-out sentences {own}"
    return Measured(listening.error_rate(found, wanted, language), len(readings), note)


def asr_exact(bench: Bench, language: Language) -> Measured:
    """Exact transcriptions of held-out sentences by held-out voices, noisy or not.

    The note tells the same of voices of training: what the strange voices cost.
    """
    verdicts, familiar = [], []
    for number, drawn in enumerate(bench.examples("asr", language)):
        heard = next(part for part in drawn.turns[0].parts if isinstance(part, Heard))
        found = bench.talker.transcribe(heard, number)
        verdicts.append(exact(found, drawn.answer))
        bench.record("asr_exact", language, drawn.answer, found, verdicts[-1])
        voice = draw_voice(Random(number), "train")
        known = replace(heard, utterance=replace(heard.utterance, voice=voice))
        familiar.append(exact(bench.talker.transcribe(known, number), drawn.answer))
    also = f"in voices of training {score(familiar).percent:.3g} %"
    return _share(score(verdicts), f"letter case and marks at the end do not count; {also}")


def answers(bench: Bench, language: Language, task: Task) -> Measured:
    """Exact written answers to the first questions of a task's examples."""
    verdicts = []
    for number, drawn in enumerate(bench.examples(task, language)):
        found = bench.talker.write(bench.talker.asked(drawn), number)
        verdicts.append(exact(found, first_answer(drawn)))
        bench.record(
            task, language, f"{first_question(drawn)} {first_answer(drawn)}", found, verdicts[-1]
        )
    return _share(score(verdicts), "")


def first_question(drawn: Example) -> str:
    """What is asked first, typed or spoken, as text."""
    return replace(drawn, turns=drawn.turns[:2]).question


def first_answer(drawn: Example) -> str:
    """The right answer to an example's first question."""
    return replace(drawn, turns=drawn.turns[:2]).answer


def clone(bench: Bench, language: Language) -> Measured:
    """Whether of eight voices the prompt's is nearest: pitch and spectral envelope."""
    verdicts = []
    for number in range(bench.items):
        drawn = cloning(number, language, bench.width, bench.split)
        prompt = bench.talker.sound(drawn.prompt)
        if number % 2:
            request = reading_request(drawn.text, language, voice=prompt)
            wave = bench.talker.speak(request, number).wave
        else:
            wave = bench.talker.read(drawn.text, number, prompt).wave
        voices = drawn.voices[::-1]  # the right one last: a tie is a miss
        known = [voice_print(spoken(drawn.text, language, voice)) for voice in voices]
        found = voices[nearest_voice(voice_print(wave), known)]
        verdicts.append(is_heard(wave) and found == drawn.voices[0])
        bench.record("clone", language, drawn.voices[0].name, found.name, verdicts[-1])
    return _two_ways(verdicts)


def style(bench: Bench, language: Language) -> Measured:
    """Whether a wish in the system text changes duration or pitch against the plain reading.

    It does not count where one of the two says something else than it was asked to.
    """
    verdicts: dict[str, list[bool]] = {name: [] for name in MEASURED_STYLES}
    count = -(-bench.items // len(MEASURED_STYLES))
    sets = sentence_sets(language, count, bench.width, bench.split)
    for number, (text, *_) in enumerate(sets):
        plain = bench.talker.speak(reading_request(text, language), number)
        for name in MEASURED_STYLES:
            system = styled_system(name, number, language)
            styled = bench.talker.speak(reading_request(text, language, system), number)
            said = exact(plain.text, text) and exact(styled.text, text)
            verdicts[name].append(said and style_met(name, styled.wave, plain.wave))
            told = f"{style_change(name, styled.wave, plain.wave):.2f} {styled.text}"
            bench.record("style", language, f"{name} {text}", told, verdicts[name][-1])
    note = ", ".join(f"{name} {score(verdicts[name])}" for name in MEASURED_STYLES)
    return _share(score(verdict for some in verdicts.values() for verdict in some), note)


def first_sound(bench: Bench) -> Measured:
    """Seconds from Send to the first sound, the median turn."""
    times = [turn.first_sound_s for turn in bench.turns() if turn.first_sound_s is not None]
    if not times:
        return Measured(None, len(bench.turns()), "no turn gave a sound")
    slowest = quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
    return Measured(median(times), len(bench.turns()), f"median; 95 % within {slowest:.2f} s")


def real_time_factor(bench: Bench) -> Measured:
    """Computing time over playing time of all turns together."""
    turns = bench.turns()
    computing, playing = sum(t.total_s for t in turns), sum(t.speech_s for t in turns)
    note = f"{computing:.0f} s for {playing:.0f} s of sound, prompts and text included"
    return Measured(computing / playing if playing else None, len(turns), note)


MEASURES: Mapping[str, Callable[[Bench, Language], Measured]] = {
    "speech_retrieval": speech_retrieval,
    "speech_retrieval_hard": speech_retrieval_hard,
    "speech_wer": speech_wer,
    "asr_exact": asr_exact,
    "image_qa": partial(answers, task="image_qa"),
    "video_qa": partial(answers, task="video_qa"),
    "spoken_qa": partial(answers, task="spoken_qa"),
    "clone": clone,
    "style": style,
}
TIMES: Mapping[str, Callable[[Bench], Measured]] = {
    "first_sound_s": first_sound,
    "rtf": real_time_factor,
}
ROWS: tuple[str, ...] = (
    *MEASURES,
    *(f"zh_{name}" for name in MEASURES),
    *TIMES,
)


def measure(bench: Bench, name: str) -> Measured:
    """One row.

    Raises:
        KeyError: there is no such row.
    """
    if name in TIMES:
        return TIMES[name](bench)
    language: Language = "zh" if name.startswith("zh_") else "en"
    return MEASURES[name.removeprefix("zh_")](bench, language)


def spoken(text: str, language: Language, voice: Voice = DEFAULT_VOICE) -> np.ndarray:
    """espeak-ng's reading, float32 (samples,) at 24 kHz."""
    return synthesis.speak(synthesis.Utterance(text, language, voice))


@lru_cache(maxsize=8192)
def spoken_cepstra(text: str, language: Language) -> np.ndarray:
    """The cepstra of :func:`spoken` in the voice of the answers."""
    return cepstra(spoken(text, language))


def at_16_khz(wave: np.ndarray) -> np.ndarray:
    """Speech at 24 kHz as the recognizer hears it."""
    return soxr.resample(wave, synthesis.SPOKEN_RATE, listening.RATE, quality="HQ")


def _two_ways(verdicts: Sequence[bool]) -> Measured:
    """The share of all, and apart of those in turn read and asked for."""
    by_reader, by_message = score(verdicts[::2]), score(verdicts[1::2])
    note = f"given to the reader {by_reader}, asked for in a chat {by_message}"
    return _share(score(verdicts), note)


def _share(found: Score, note: str) -> Measured:
    return Measured(found.percent, found.total, f"%, {found}" + (f"; {note}" if note else ""))
