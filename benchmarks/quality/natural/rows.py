"""The natural rows of the quality table: how each is measured.

Knows: which questions (:mod:`benchmarks.quality.natural.held_out`) go to the engine in which way,
what counts as right, what the teacher reaches itself. Does not know: bounds, flags.

``any_text`` and ``any_text_zh`` are nano's error over the teacher's, ``pleasant`` is how far nano's
opinion score is below the teacher's: smaller is better. A row whose listener or teacher is not
installed has no value, and its note says what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from statistics import mean

from benchmarks.quality import recognizer as listening
from benchmarks.quality.held_out import cloning, held_out
from benchmarks.quality.natural.held_out import (
    NaturalHeard,
    eight_speakers,
    outside_questions,
    some_everyday_texts,
    speaker,
    spoken,
    wordings,
)
from benchmarks.quality.natural.listeners import heard_words, opinion
from benchmarks.quality.natural.syllables import heard_parts, load_listener, parts_of
from benchmarks.quality.natural.voices import nearest_voice
from benchmarks.quality.quality_rows import (
    ENOUGH,
    Bench,
    Measured,
    first_answer,
    first_question,
)
from benchmarks.quality.quality_rows import (
    spoken as by_espeak,
)
from benchmarks.quality.scoring import score
from benchmarks.quality.talking import conversation
from finetune.measures.likeness import is_heard
from finetune.measures.texts import exact
from finetune.nano.domain.languages import Language
from finetune.nano.examples.parts import Heard
from finetune.nano.speech.synthesis import SPOKEN_RATE
from finetune.nano.teachers.speakers import ANSWERS, QUICK_ANSWER
from omni.conversation import Audio, Text
from omni.conversation import Part as Given
from omni.errors import ResourceError

UNKNOWN: Mapping[Language, str] = {
    "en": r"\b(do(n't| not) (know|understand)|only know|not sure|can(no|')t help)\b",
    "zh": "不知道|只知道|不清楚|不懂|不会|帮不了",
}


def natural_asr(bench: Bench, language: Language = "en") -> Measured:
    """Exact transcriptions of held-out sentences by held-out natural voices, noisy or not."""
    name = "natural_zh_asr" if language == "zh" else "natural_asr"
    verdicts: dict[str, list[bool]] = {}
    for number, drawn in enumerate(bench.examples("asr", language)):
        told = next(part for part in drawn.turns[0].parts if isinstance(part, Heard))
        heard = NaturalHeard(
            told.utterance.text, language, speaker(number, language), told.recording
        )
        found = bench.talker.transcribe(heard, number)
        right = exact(found, drawn.answer)
        verdicts.setdefault(heard.speaker.name, []).append(right)
        bench.record(name, "en", drawn.answer, found, right)
    return by_speaker(verdicts)


def natural_zh_asr(bench: Bench) -> Measured:
    """The same in Mandarin."""
    return natural_asr(bench, "zh")


def natural_spoken_qa(bench: Bench) -> Measured:
    """Exact written answers to questions about pictures and clips that natural voices ask."""
    verdicts: dict[str, list[bool]] = {}
    for number in range(bench.items):
        drawn = held_out("spoken_qa", number, "en", bench.width)
        parts: list[Given] = []
        who = speaker(number, "en")
        for part in drawn.turns[0].parts:
            if isinstance(part, Heard):
                told = NaturalHeard(part.utterance.text, "en", who, part.recording)
                parts.append(Audio(bench.talker.sound(told)))
            else:
                parts.append(bench.talker.given(part))
        found = bench.talker.write(conversation(parts, "en", drawn.system.text), number)
        right = exact(found, first_answer(drawn))
        verdicts.setdefault(who.name, []).append(right)
        wanted = f"{first_question(drawn)} {first_answer(drawn)}"
        bench.record("natural_spoken_qa", "en", wanted, found, right)
    return by_speaker(verdicts)


def by_speaker(verdicts: Mapping[str, list[bool]]) -> Measured:
    """The share of all, and each speaker's."""
    total = score(verdict for some in verdicts.values() for verdict in some)
    each = ", ".join(f"{name} {score(some)}" for name, some in verdicts.items())
    return Measured(total.percent, total.total, f"%, {total}; {each}")


def natural_intelligibility(bench: Bench) -> Measured:
    """Word error of pocketsphinx on what nano reads of its own world, beside its teacher's."""
    readings = bench.readings("en")
    wanted = [reading.sentences[0] for reading in readings]
    found = [heard_words(reading.wave, SPOKEN_RATE) for reading in readings]
    taught = [heard_words(spoken(QUICK_ANSWER, text, "en"), SPOKEN_RATE) for text in wanted]
    for pair in zip(wanted, found, strict=True):
        bench.record("natural_intelligibility", "en", *pair, right=exact(*pair))
    own, theirs = (listening.error_rate(texts, wanted, "en") for texts in (found, taught))
    note = f"% of the words by pocketsphinx; its teacher's {theirs:.3g} %"
    return Measured(own, len(wanted), note)


def any_text(bench: Bench) -> Measured:
    """pocketsphinx's word error on everyday sentences that nano reads, over its teacher's."""
    texts = some_everyday_texts("en", bench.items)
    wanted = [text.read for text in texts]
    waves = [bench.talker.read(text.text, number).wave for number, text in enumerate(texts)]
    taught = [spoken(QUICK_ANSWER, text.text, "en") for text in texts]
    found, theirs = ([heard_words(wave, SPOKEN_RATE) for wave in some] for some in (waves, taught))
    for text, heard in zip(texts, found, strict=True):
        bench.record("any_text", "en", text.text, heard, exact(heard, text.read))
    return over_teacher(
        listening.error_rate(found, wanted, "en"),
        listening.error_rate(theirs, wanted, "en"),
        len(texts),
    )


def any_text_zh(bench: Bench) -> Measured:
    """The same of Mandarin, in initials and finals with tones, by a listener to the teachers."""
    listener = load_listener()
    texts = [text.text for text in some_everyday_texts("zh", bench.items)]
    waves = [bench.talker.read(text, number).wave for number, text in enumerate(texts)]
    taught = [spoken(ANSWERS["zh"], text, "zh") for text in texts]
    wanted = [parts_of(text) for text in texts]
    found, theirs = (
        [heard_parts(listener, wave, SPOKEN_RATE) for wave in some] for some in (waves, taught)
    )
    for text, told, heard in zip(texts, wanted, found, strict=True):
        bench.record("any_text_zh", "en", text, " ".join(heard), heard == told)
    return over_teacher(parts_wrong(found, wanted), parts_wrong(theirs, wanted), len(texts))


def parts_wrong(found: list[list[str]], wanted: list[list[str]]) -> float:
    """Errors over initials and finals, in percent."""
    wrong = sum(listening.word_errors(a, b) for a, b in zip(found, wanted, strict=True))
    return 100 * wrong / max(1, sum(map(len, wanted)))


def over_teacher(own: float, theirs: float, items: int) -> Measured:
    """An error over the teacher's, of at least 1 %: nobody is asked to be better than that."""
    note = f"times the teacher's error: nano {own:.3g} %, the teacher {theirs:.3g} %"
    return Measured(own / max(theirs, 1.0), items, note)


def pleasant(bench: Bench) -> Measured:
    """How far DNSMOS puts nano's readings below the teacher's of the same sentences."""
    readings = bench.readings("en")
    texts = [reading.sentences[0] for reading in readings]
    own = mean(opinion(reading.wave, SPOKEN_RATE) for reading in readings)
    theirs = mean(opinion(spoken(QUICK_ANSWER, text, "en"), SPOKEN_RATE) for text in texts)
    espeak = mean(opinion(by_espeak(text, "en"), SPOKEN_RATE) for text in texts)
    note = f"below the teacher's: nano {own:.2f}, the teacher {theirs:.2f}, espeak-ng {espeak:.2f}"
    return Measured(theirs - own, len(texts), note)


def outside(bench: Bench) -> Measured:
    """Whether nano says that it doesn't know, in the language of the question.

    By turns typed and spoken by a held-out natural voice.
    """
    verdicts: dict[str, list[bool]] = {"typed": [], "spoken": []}
    known = outside_questions()
    for number in range(min(bench.items, 2 * len(known))):
        language, question = known[number // 2 * 7 % len(known)]
        way = "spoken" if number % 2 else "typed"
        part: Given = Text(question)
        if way == "spoken":
            heard = NaturalHeard(question, language, speaker(number // 2, language))
            part = Audio(bench.talker.sound(heard))
        found = bench.talker.write(conversation([part], language), number)
        verdicts[way].append(says_unknown(found, language))
        bench.record("outside", "en", f"{way} {question}", found, verdicts[way][-1])
    total = score([*verdicts["typed"], *verdicts["spoken"]])
    note = f"%, {total}; typed {score(verdicts['typed'])}, spoken {score(verdicts['spoken'])}"
    return Measured(total.percent, total.total, note)


def says_unknown(answer: str, language: Language) -> bool:
    """Whether an answer admits in the language that it is not known."""
    return bool(re.search(UNKNOWN[language], answer.lower().replace("’", "'")))


def wording(bench: Bench) -> Measured:
    """Exact answers to questions of nano's world as people word them, typed."""
    verdicts: dict[str, list[bool]] = {}
    known = wordings(bench.width)
    step = max(1, len(known) // bench.items)
    for number, asked in list(enumerate(known))[::step][: bench.items]:
        parts = [bench.talker.given(asked.about)] if asked.about else []
        question = conversation([*parts, Text(asked.question)], asked.language)
        found = bench.talker.write(question, number)
        verdicts.setdefault(asked.language, []).append(exact(found, asked.answer))
        wanted = f"{asked.question} {asked.answer}"
        bench.record("wording", "en", wanted, found, verdicts[asked.language][-1])
    total = score(verdict for some in verdicts.values() for verdict in some)
    each = ", ".join(f"{language} {score(some)}" for language, some in verdicts.items())
    items = ENOUGH if total.total == len(known) else total.total  # there are no more of them
    return Measured(total.percent, items, f"%, {total}; {each}")


def clone_natural(bench: Bench) -> Measured:
    """Whether of eight natural voices the prompt's is nearest, by a speaker encoder.

    The note tells how often the same encoder finds the right voice for the teacher's own speech.
    """
    verdicts, ceiling = [], []
    for number in range(bench.items):
        drawn = cloning(number, "en", bench.width)
        speakers = eight_speakers(number)
        prompt = NaturalHeard(drawn.prompt.utterance.text, "en", speakers[0])
        wave = bench.talker.read(drawn.text, number, bench.talker.sound(prompt)).wave
        known = [spoken(one, drawn.text, "en") for one in speakers[::-1]]
        right = len(known) - 1  # the right one last: a tie is a miss
        verdicts.append(is_heard(wave) and nearest_voice(wave, known, SPOKEN_RATE) == right)
        told = spoken(speakers[0], drawn.prompt.utterance.text, "en")
        ceiling.append(nearest_voice(told, known, SPOKEN_RATE) == right)
        bench.record("clone_natural", "en", speakers[0].name, "", verdicts[-1])
    found, best = score(verdicts), score(ceiling)
    return Measured(found.percent, found.total, f"%, {found}; the prompts themselves {best}")


NATURAL: Mapping[str, Callable[[Bench], Measured]] = {
    "natural_asr": natural_asr,
    "natural_spoken_qa": natural_spoken_qa,
    "natural_zh_asr": natural_zh_asr,
    "natural_intelligibility": natural_intelligibility,
    "any_text": any_text,
    "any_text_zh": any_text_zh,
    "pleasant": pleasant,
    "outside": outside,
    "wording": wording,
    "clone_natural": clone_natural,
}


def measure(bench: Bench, name: str) -> Measured:
    """One natural row; without a value where a teacher or listener is missing."""
    try:
        return NATURAL[name](bench)
    except (ResourceError, FileNotFoundError) as error:
        return Measured(None, 0, str(error))
