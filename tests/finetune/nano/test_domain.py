"""Sentences, facts, talk and what lies outside: forms, sides, sizes."""

from __future__ import annotations

import re
from random import Random

import pytest

from finetune.nano.domain import facts, outside, sentences, talk
from finetune.nano.domain.asking import as_typed
from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import TABLES, table, word
from finetune.nano.domain.roles import ROLES, in_role
from finetune.nano.domain.splits import SPLITS, TEST_SHARE, split_of
from finetune.nano.domain.templates import say, with_articles
from finetune.nano.domain.vocabulary import english_words, hanzi
from finetune.nano.domain.width import LANGUAGES, DomainWidth, within
from finetune.nano.examples.examples import example

NUMBER = {entry.en: int(entry.key) for entry in TABLES["number"]}
HAN_NUMBER = {entry.zh: int(entry.key) for entry in TABLES["number"]}


def test_a_combination_has_one_side_and_shares_are_kept() -> None:
    sides = [split_of("thing", number) for number in range(20_000)]
    assert sides == [split_of("thing", number) for number in range(20_000)]
    assert sides.count("test") / 20_000 == pytest.approx(TEST_SHARE, abs=0.01)


@pytest.mark.parametrize("width", ["core", "full"])
def test_sentences_of_different_sides_never_meet(width: DomainWidth) -> None:
    drawn = {
        split: [
            {entry.text(language) for entry in sentences.draw_many(250, 1, split, width)}
            for language in LANGUAGES
        ]
        for split in SPLITS
    }
    for split in SPLITS:
        for other in SPLITS:
            if split != other:
                assert not drawn[split][0] & drawn[other][0]
                assert not drawn[split][1] & drawn[other][1]


def test_the_widths_agree_on_the_sides() -> None:
    core = {entry.text("en") for entry in sentences.draw_many(80, 0, "test", "core")}
    train = {entry.text("en") for entry in sentences.draw_many(4000, 0, "train", "full")}
    assert not core & train


def test_samples_are_different_sentences_and_repeat_by_seed() -> None:
    first = sentences.sample("test", "en", 300, seed=5)
    assert len(set(first)) == 300
    assert first == sentences.sample("test", "en", 300, seed=5)
    assert first != sentences.sample("test", "en", 300, seed=6)
    # The same draw in both languages says the same: as many sentences, in Chinese.
    assert all(re.search("[\u4e00-\u9fff]", text) for text in sentences.sample("test", "zh", 9, 5))


def test_sentences_are_written_well() -> None:
    for entry in sentences.draw_many(1500, 3, "train"):
        english, chinese = entry.text("en"), entry.text("zh")
        assert english[0].isupper() and english[-1] in ".?"
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|[{}]|  ", english), english
        assert chinese[-1] in "。？" and "{" not in chinese
        assert not re.search(r"二[个只条匹头张把本辆座棵]", chinese), chinese


def test_sums_in_sentences_are_right() -> None:
    checked = 0
    for entry in sentences.draw_many(1500, 4, "train"):
        found = re.fullmatch(r"(\w+) (plus|minus) (\w+) is (\w+)\.", entry.text("en"))
        if found:
            a, sign, b, c = found.groups()
            left = NUMBER[a.lower()] + (1 if sign == "plus" else -1) * NUMBER[b]
            assert left == NUMBER[c]
            checked += 1
    assert checked > 15


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("width", ["core", "full"])
def test_hard_sets_differ_in_one_word(language: Language, width: DomainWidth) -> None:
    for first, *others in sentences.hard_sets("test", language, 25, 2, width):
        assert len({first, *others}) == 10
        for other in others:
            if language == "en":
                assert _changed(first.split(), other.split()) <= 4  # "at the top left" is one slot
            else:
                assert _changed(list(first), list(other)) <= 4
    tests = {entry.text("en") for entry in sentences.draw_many(4000, 0, "train")}
    assert not {found[0] for found in sentences.hard_sets("test", "en", 25, 2)} & tests


def _changed(one: list[str], other: list[str]) -> int:
    """Entries left of the longer list without the common beginning and end."""
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    return max(len(one), len(other)) - start - end


def test_facts_answer_sums_days_and_months_rightly() -> None:
    rng = Random(0)
    sums = 0
    for _ in range(1500):
        asked = facts.draw(rng, "train")
        english, chinese = asked.answer("en"), asked.answer("zh")
        if asked.group.key in ("plus", "minus"):
            sign = 1 if asked.group.key == "plus" else -1
            assert asked.fact.other is not None
            a, b = asked.fact.subject["en"], asked.fact.other["en"]
            assert NUMBER[a] + sign * NUMBER[b] == NUMBER[english] == HAN_NUMBER[chinese]
            assert a in asked.question("en").lower() and b in asked.question("en").lower()
            sums += 1
    assert sums > 100
    by_key = {group.key: group for group in facts.GROUPS}
    after = {fact.subject["en"]: fact.answer["en"] for fact in by_key["day-after"].facts}
    assert after["Monday"] == "Tuesday" and after["Sunday"] == "Monday"
    before = {fact.subject["en"]: fact.answer["en"] for fact in by_key["month-before"].facts}
    assert before["January"] == "December"


@pytest.mark.parametrize("draw", [facts.draw, outside.draw])
def test_questions_of_different_sides_never_meet(draw: object) -> None:
    found: dict[str, set[str]] = {}
    for split in SPLITS:
        rng = Random(1)
        if draw is facts.draw:
            asked = [facts.draw(rng, split) for _ in range(1200)]
            found[split] = {entry.question("en") for entry in asked}
        else:
            found[split] = {outside.draw(rng, "en", split) for _ in range(600)}
    assert not found["train"] & found["test"]
    assert not found["train"] & found["validation"]
    assert not found["validation"] & found["test"]


def test_every_fact_is_learnt() -> None:
    for width in ("core", "full"):
        for group in within(facts.GROUPS, width):
            for fact in within(group.facts, width):
                ways = [
                    facts.FactQuestion(group, fact, wording, opening).split
                    for wording in range(len(group.questions["en"]))
                    for opening in range(len(facts.OPENINGS["en"]))
                ]
                assert ways.count("train") >= len(ways) / 2, fact


def test_small_talk_has_all_sides_and_training_knows_every_intent() -> None:
    for language in ("en", "zh"):
        sides = [set(_phrases(language, split)) for split in SPLITS]
        assert sides[0] and not sides[0] & sides[2] and not sides[0] & sides[1]
        known = talk.phrases(language, "train", "full")
        assert {intent.key for intent, _ in known} == {intent.key for intent in talk.INTENTS}


def _phrases(language: str, split: str) -> list[str]:
    entries = talk.phrases(language, split, "full")
    return [phrase for _, phrases in entries for phrase in phrases]


def test_outside_words_are_not_of_the_domain() -> None:
    known = {entry.en for name in TABLES for entry in TABLES[name]}
    assert not known & set(outside.topics("en"))
    assert len(outside.topics("en")) == len(outside.topics("zh"))


def test_forms_of_words() -> None:
    words = {"n": word("number", "2"), "animal": word("animal", "mouse")}
    assert say("{n} {animal.s}.", "en", words) == "Two mice."
    assert say("{n.c}{animal.m}{animal}", "zh", words) == "两只老鼠"
    assert with_articles("a orange egg and a cat") == "an orange egg and a cat"
    assert set(table("color", "core")) < set(table("color", "full"))


def test_roles_change_the_wording() -> None:
    pirate = ROLES[0]
    assert in_role("four", pirate, "en") == "Ahoy, four"
    assert in_role("Good morning!", pirate, "en") == "Ahoy, good morning!"
    assert in_role("I am fine.", pirate, "en") == "Ahoy, I am fine."
    assert in_role("four", None, "en") == "four"


def test_typed_questions_keep_their_meaning() -> None:
    rng = Random(0)
    typed = {as_typed(rng, "What is seven plus two?", "en") for _ in range(300)}
    assert "What is seven plus two?" in typed and "What is 7 plus 2?" in typed
    chinese = {as_typed(rng, "星期一，十一加二等于几？", "zh") for _ in range(300)}
    assert any("11加2" in text for text in chinese)
    assert all("星期一" in text for text in chinese)


def test_the_vocabulary_has_every_word() -> None:
    for width in ("core", "full"):
        english, chinese = set(english_words(width)), set(hanzi(width))
        for index in range(800):
            drawn = example(index, 1, "train", width=width)
            for text in (drawn.question, drawn.answer, drawn.system.text):
                words = set(re.findall("[A-Za-z]+", text.replace("colour", "color")))
                # Careless typing begins with a small letter.
                assert not {w for w in words if not {w, w.capitalize()} & english}, text
                assert not set(re.findall("[\u4e00-\u9fff]", text)) - chinese, text
