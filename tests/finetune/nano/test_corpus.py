"""The natural corpus and its texts: whole shards, going on, nothing that nano is measured on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

import numpy as np
import pytest

from benchmarks.quality.natural.held_out import everyday_texts, outside_questions
from finetune.measures.texts import normalised
from finetune.nano.domain.languages import Language
from finetune.nano.domain.people.numbers import han_number
from finetune.nano.domain.styles import ASKED_STYLES
from finetune.nano.domain.width import LANGUAGES
from finetune.nano.speech.synthesis import SPOKEN_RATE, Sound
from finetune.nano.teachers import corpus, everyday, everyday_forms
from finetune.nano.teachers.speakers import ANSWERS
from finetune.nano.teachers.speaking import Speaker, Spoken
from omni.errors import ResourceError


def toy_say(speaker: Speaker, text: str, language: Language) -> Spoken:
    """A hum as long as the text."""
    if text.endswith("7"):
        raise ValueError("too long")
    wave = 0.1 * np.sin(np.arange(100 * len(text)) * 0.05).astype(np.float32)
    return Spoken(wave, (Sound(0.0, "_", 0), Sound(0.01, "m", 0)))


@pytest.fixture
def toy_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        everyday, "draw", lambda rng, language: f"{language} text {rng.randrange(100)}"
    )


def test_a_shard_comes_back_as_it_was_said(tmp_path: Path, toy_texts: None) -> None:
    made = corpus.write_shard(tmp_path, "en-moved", 1, toy_say)
    items = [corpus.item("en-moved", n) for n in range(corpus.SHARD, 2 * corpus.SHARD)]
    said = [one for one in items if not one.text.endswith("7")]
    assert 0 < len(said) < len(items)
    found = list(corpus.read_shard(tmp_path / "en-moved-00001.jsonl"))
    assert [(one.text, one.speaker) for one in found] == [(x.text, x.speaker.name) for x in said]
    for one, wanted in zip(found, said, strict=True):
        spoken = toy_say(wanted.speaker, wanted.text, wanted.language)
        assert np.abs(one.wave - spoken.wave).max() < 1e-4
        assert one.sounds == spoken.sounds
    assert made == pytest.approx(sum(len(one.wave) for one in found) / SPOKEN_RATE)
    assert corpus.seconds(tmp_path)["en-moved"] == pytest.approx(made)
    assert "all  0.00 h" in corpus.told(corpus.seconds(tmp_path))


def test_what_is_there_is_kept(tmp_path: Path, toy_texts: None) -> None:
    corpus.write_shard(tmp_path, "en-flite", 0, toy_say)

    def silent(speaker: Speaker, text: str, language: Language) -> Spoken:
        raise AssertionError("said again")

    assert corpus.write_shard(tmp_path, "en-flite", 0, silent) == 0
    # A shard without its lines was broken off: it is made again.
    (tmp_path / "en-flite-00000.jsonl").unlink()
    assert corpus.write_shard(tmp_path, "en-flite", 0, toy_say) > 0
    assert not list(tmp_path.glob("*.draft"))


def test_an_utterance_is_a_function_of_its_number(toy_texts: None) -> None:
    for name, kind in corpus.KINDS.items():
        first = [corpus.item(name, number) for number in range(20)]
        assert first == [corpus.item(name, number) for number in range(20)]
        assert len({one.text for one in first}) > 10
        assert {one.language for one in first} == {kind.language}
        if kind.answers:
            assert {one.speaker.mix for one in first} == {ANSWERS[kind.language].mix}
            assert {one.speaker.melody for one in first} == {ANSWERS[kind.language].melody}


def test_rounds_make_no_shard_twice() -> None:
    made = list(corpus.shards(3))
    assert len(set(made)) == len(made) == 3 * sum(k.each_round for k in corpus.KINDS.values())
    assert {name for name, _ in corpus.shards(1, ["zh-mixed"])} == {"zh-mixed"}


def test_numbers_are_written() -> None:
    written = {0: "零", 2: "二", 10: "十", 12: "十二", 20: "二十", 105: "一百零五"}
    written |= {110: "一百一十", 1001: "一千零一", 2020: "二千零二十", 9999: "九千九百九十九"}
    assert {number: han_number(number) for number in written} == written
    with pytest.raises(ValueError, match="between"):
        han_number(10_000)
    assert [everyday_forms.ordinal(n) for n in (1, 2, 3, 4, 11, 12, 21)] == (
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "21st"]
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_forms_are_filled(language: Language) -> None:
    drawn = [everyday_forms.draw(Random(number), language) for number in range(400)]
    assert not any("{" in text or "}" in text for text in drawn)
    assert len(set(drawn)) > 350
    if language == "zh":
        assert all(re.fullmatch("[\u4e00-\u9fff，。]+", text) for text in drawn)


def test_examples_become_sentences() -> None:
    assert everyday.as_sentence("the barometer  is falling") == "The barometer is falling."
    assert everyday.as_sentence("can I go now?") == "Can I go now?"
    assert everyday.as_sentence("two words") == ""
    assert everyday.as_sentence("it cost 5 dollars at least") == ""


def test_a_missing_collection_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(everyday, "WORDNET", tmp_path)
    everyday.sentences.cache_clear()
    with pytest.raises(ResourceError, match="wordnet-base"):
        everyday.sentences("en")
    everyday.sentences.cache_clear()


def test_a_collection_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for part in ("adj", "adv", "noun", "verb"):
        line = f'1 2 n 01 word | a gloss; "we saw {part}s there"; "short one"\n'
        (tmp_path / f"data.{part}").write_text(line)
    monkeypatch.setattr(everyday, "WORDNET", tmp_path)
    everyday.sentences.cache_clear()
    assert set(everyday.sentences("en")) == {
        f"We saw {part}s there." for part in ("adj", "adv", "noun", "verb")
    }
    everyday.sentences.cache_clear()


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_that_is_measured_is_in_the_collections(language: Language) -> None:
    try:
        known = {normalised(text) for text in everyday.sentences(language)}
    except ResourceError as error:
        pytest.skip(str(error))
    known |= {normalised(everyday_forms.draw(Random(n), language)) for n in range(5_000)}
    measured = [text.text for text in everyday_texts(language)]
    measured += [question for asked, question in outside_questions() if asked == language]
    assert not [text for text in measured if normalised(text) in known]


def test_lines_are_plain_json(tmp_path: Path, toy_texts: None) -> None:
    corpus.write_shard(tmp_path, "zh-mixed", 0, toy_say)
    line = json.loads((tmp_path / "zh-mixed-00000.jsonl").read_text().splitlines()[0])
    assert set(line) == {"text", "language", "speaker", "style", "start", "samples", "sounds"}
    assert line["start"] == 0 and line["language"] == "zh"


def test_styled_answers_are_asked_for_in_every_style(toy_texts: None, tmp_path: Path) -> None:
    for name in ("en-styled", "zh-styled"):
        drawn = [corpus.item(name, number).speaker for number in range(60)]
        assert {one.style for one in drawn} == set(ASKED_STYLES)
        assert all(one.name.endswith(f" {one.style}") for one in drawn)
    assert {corpus.item("en-answers", n).speaker.style for n in range(9)} == {"plain"}
    corpus.write_shard(tmp_path, "en-styled", 0, toy_say)
    kept = {one.style for one in corpus.read_shard(tmp_path / "en-styled-00000.jsonl")}
    assert kept == set(ASKED_STYLES)
