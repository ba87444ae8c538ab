"""Examples in which a natural voice is heard: what the corpus has, what is right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
import soundfile

from finetune.nano.domain import outside
from finetune.nano.domain.languages import Language
from finetune.nano.examples import lessons, natural
from finetune.nano.examples.examples import example
from finetune.nano.examples.natural import CorpusHeard, NaturalHeard
from finetune.nano.examples.parts import Example, Heard, Seen, Watched
from finetune.nano.examples.sequences import IGNORED, SequenceWriter
from finetune.nano.speech.synthesis import SPOKEN_RATE, Sound
from finetune.nano.teachers import everyday, speaking
from finetune.nano.teachers.speakers import QUICK_ANSWER
from finetune.nano.teachers.speaking import Speaker, Spoken
from omni.errors import ResourceError
from tests.support.espeak import needs_espeak

SAID: dict[Language, tuple[str, ...]] = {
    "en": ("I see a red star.", "The zymurgy of quokkas.", "Hello!"),
    "zh": ("你看见了什么？", "有几个形状？", "你好！", "我们走了。", "我看见红色的星形。"),
}
SOUNDS = [[0.0, "_", 0], [0.04, "a", 0], [0.3, "b", 2], [0.6, "_", 2]]


def say(speaker: Speaker, text: str, language: Language) -> Spoken:
    """A hum of a second."""
    wave = 0.1 * np.sin(np.arange(SPOKEN_RATE) * 0.05).astype(np.float32)
    return Spoken(wave, tuple(Sound(float(a), str(b), int(c)) for a, b, c in SOUNDS))


@pytest.fixture(autouse=True)
def toy_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for language, texts in SAID.items():
        wave = say(QUICK_ANSWER, "", language).wave
        path = tmp_path / f"{language}-toy-00000.jsonl"
        soundfile.write(path.with_suffix(".flac"), np.tile(wave, len(texts)), SPOKEN_RATE)
        about = {"language": language, "speaker": "a", "samples": SPOKEN_RATE, "sounds": SOUNDS}
        lines = [about | {"text": text, "start": n * SPOKEN_RATE} for n, text in enumerate(texts)]
        path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    monkeypatch.setenv(natural.FOLDERS_VARIABLE, str(tmp_path))
    monkeypatch.setattr(speaking, "say", say)
    monkeypatch.setattr(everyday, "words", lambda language: ("lamp",))
    monkeypatch.setattr(everyday, "sentences", lambda language: ("我们走了。",))
    forget()
    yield
    forget()


def forget() -> None:
    """What was read of another corpus."""
    caches = (natural.corpus, natural._texts, natural._said)
    for cache in (*caches, lessons._asked_in_corpus, lessons._everyday_in_corpus):
        cache.cache_clear()


def drawn(task: str, language: Language, count: int = 60) -> list[Example]:
    return [example(n, 1, "train", task, "core", language) for n in range(count)]  # type: ignore[arg-type]


def heard(one: Example) -> Heard:
    (found,) = [part for part in one.turns[-2].parts if isinstance(part, Heard)]
    return found


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_heard_is_written_down(language: Language) -> None:
    lessons_drawn = drawn("natural_asr", language)
    for one in lessons_drawn:
        assert one.answer == heard(one).utterance.text
        assert not one.speech
    assert {one.form for one in lessons_drawn} == {"transcription", "conversation"}
    kinds = {type(heard(one)) for one in lessons_drawn}
    assert kinds == ({CorpusHeard, NaturalHeard} if language == "en" else {CorpusHeard})
    # What has strange words is taken where there is nothing better.
    texts = [heard(one).utterance.text for one in lessons_drawn if type(heard(one)) is CorpusHeard]
    assert texts.count(SAID["en"][1]) < 0.15 * len(texts)


def test_english_questions_are_asked_at_once_and_rightly() -> None:
    asked = drawn("natural_qa", "en", 120)
    assert all(type(heard(one)) is NaturalHeard for one in asked)
    shown = [one for one in asked if isinstance(one.turns[0].parts[0], Seen | Watched)]
    assert 0.4 < len(shown) / len(asked) < 0.7
    known = lessons.answers("en", "core")
    for one in asked:
        if one in shown:
            continue
        text = heard(one).utterance.text
        assert one.answer == known.get(text, outside.ANSWER["en"])
    assert known["Hello!"] == "Hello! Nice to meet you."


def test_mandarin_questions_are_those_of_the_corpus() -> None:
    asked = drawn("natural_qa", "zh")
    texts = {heard(one).utterance.text for one in asked}
    assert texts == {"你看见了什么？", "有几个形状？", "你好！", "我们走了。"}
    answers = {heard(one).utterance.text: one.answer for one in asked}
    assert answers["你好！"] == "你好！很高兴见到你。"
    assert answers["我们走了。"] == outside.ANSWER["zh"]
    assert answers["有几个形状？"].endswith("个")


def test_a_recording_of_the_corpus_is_as_long_as_it_was() -> None:
    found = natural.of_corpus(Random(1), "zh", "你好！")
    assert found is not None
    wave, recording = found.waveform(), found.recording
    assert len(wave) / 16_000 == pytest.approx(1 + recording.lead_s + recording.tail_s, abs=1e-3)
    assert [sound.phoneme for sound in found.sounds()] == ["_", "a", "b", "_"]
    assert natural.of_corpus(Random(1), "zh", "没有这句话。") is None
    assert natural.at_once(Random(1), "你好！", "zh") is None


def test_sounds_that_tell_no_words_are_left_out() -> None:
    once = tuple(Sound(n / 10, sign, 0) for n, sign in enumerate("_ab_"))
    assert natural.telling_words(once, "two words") == ()
    assert natural.telling_words(once, "one") == once


@needs_espeak
def test_the_word_that_sounds_is_told_by_the_teachers_times(writer: SequenceWriter) -> None:
    (one,) = [x for x in drawn("natural_asr", "zh") if heard(x).utterance.text == "你好！"][:1]
    sequence = writer.write(one)
    told = [token for token in sequence.sound_targets if token != IGNORED]
    assert {writer.tokenizer.piece(token) for token in told} <= {"你", "好", "！"}
    assert told


def test_without_a_corpus_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(natural.FOLDERS_VARIABLE, "")
    forget()
    with pytest.raises(ResourceError, match="NANO_CORPUS"):
        natural.of_corpus(Random(1), "en")
