"""Questions in people's own words and questions from outside: tables, drawing, conversations."""

from __future__ import annotations

import re
from random import Random

import pytest

from finetune.nano.domain import facts, outside, talk
from finetune.nano.domain.fact_groups import GROUPS, Fact
from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import word
from finetune.nano.domain.looking import CLIP_WORDINGS, PICTURE_WORDINGS
from finetune.nano.domain.people import strange, wordings
from finetune.nano.domain.people.numbers import english_number, han_number
from finetune.nano.domain.width import LANGUAGES, within
from finetune.nano.examples import people
from finetune.nano.examples.examples import ALL_TASKS, PEOPLE, WEIGHTS, example
from finetune.nano.examples.parts import Example, Seen, Typed, Watched
from finetune.nano.pictures import clip_questions, picture_questions
from finetune.nano.teachers import everyday

SLOT = re.compile(r"\{([a-z]+)")


@pytest.fixture(autouse=True)
def few_everyday_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of the collections, which lie in optional packages."""
    words: dict[Language, tuple[str, ...]] = {"en": ("lamp", "quarrel"), "zh": ("灯泡", "争吵")}
    said: dict[Language, tuple[str, ...]] = {"en": ("We left at dawn.",), "zh": ("我们走了。",)}
    monkeypatch.setattr(everyday, "words", lambda language: words[language])
    monkeypatch.setattr(everyday, "sentences", lambda language: said[language])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_of_the_small_world_is_asked_in_other_words(language: Language) -> None:
    tables = {"pictures": PICTURE_WORDINGS, "clips": CLIP_WORDINGS}
    for section, known in tables.items():
        for kind in known.values():
            if not kind.core:
                continue
            forms = wordings.forms(section, kind.kind, language)
            assert len(forms) >= 3, (section, kind.kind)
            slots = set(SLOT.findall(kind.questions[language][0]))
            assert all(set(SLOT.findall(form)) == slots for form in forms), kind.kind
    for group in within(GROUPS, "core"):
        assert len(wordings.forms("facts", group.key, language)) >= 3, group.key
    for intent in within(talk.INTENTS, "core"):
        assert len(wordings.forms("talk", intent.key, language)) >= 3, intent.key


def test_tables_have_no_kinds_that_nobody_asks() -> None:
    tables = wordings.tables()
    assert tables["pictures"].keys() <= PICTURE_WORDINGS.keys()
    assert tables["clips"].keys() <= CLIP_WORDINGS.keys()
    assert tables["facts"].keys() <= {group.key for group in GROUPS}
    assert tables["talk"].keys() <= {intent.key for intent in talk.INTENTS}
    subjects = {fact.subject["en"] for group in GROUPS for fact in group.facts}
    assert tables["says"].keys() <= subjects


def test_a_form_is_read_in_every_way() -> None:
    form = "[so|] what colou?r is [the {shape}|it] , [please|]"
    read = list(wordings.readings(form))
    assert len(read) == len(set(read)) == 16
    assert "so what color is the {shape}, please" in read
    assert "what colour is it," in read
    drawn = {wordings.drawn(Random(seed), form) for seed in range(400)}
    assert drawn == set(read)


def fact_of(group: str, key: str) -> Fact:
    (known,) = [one for one in GROUPS if one.key == group]
    return next(fact for fact in known.facts if fact.key == key)


def test_words_fill_the_slots_of_both_languages() -> None:
    words = {"shape": word("shape", "star"), "relation": word("relation", "left of")}
    rng = Random(1)
    for _ in range(50):
        english = wordings.question(rng, "pictures", "relation", "en", words)
        chinese = wordings.question(rng, "pictures", "relation", "zh", words)
        assert english and "star" in english.lower() and "left of" in english.lower()
        assert chinese and "星形" in chinese and "左" in chinese
    assert wordings.question(rng, "pictures", "color-by-size", "en", words) is None
    assert wordings.about_fact(rng, "mix", fact_of("mix", "red and blue"), "en") is None
    week = fact_of("how-many", "days are in a week")
    for language, said in (("en", "week"), ("zh", "星期")):
        asked = {wordings.about_fact(rng, "how-many", week, language) for _ in range(40)}
        assert all((one and said in one.lower()) or "周" in str(one) for one in asked)
        assert len(asked) > 15
    # Not only the forms of every such fact: it has some of its own, in both languages.
    assert {"一星期几天", "How many days in a week?"} & {
        wordings.about_fact(rng, "how-many", week, "zh") for _ in range(900)
    }
    six = fact_of("plus", "six/two")
    assert any("6" in str(wordings.about_fact(rng, "plus", six, "en", digits=True)) for _ in "ab")


@pytest.mark.parametrize("language", LANGUAGES)
def test_strange_questions_are_filled_and_many(language: Language) -> None:
    asked = [strange.ask(Random(seed), language, everyday) for seed in range(600)]
    assert len(set(asked)) > 500
    assert not [one for one in asked if re.search(r"[{}\[\]|]", one)]
    han = [bool(re.search("[\u4e00-\u9fff]", one)) for one in asked]
    assert sum(han) == (len(asked) if language == "zh" else 0)


def test_every_slot_of_the_strange_forms_has_words() -> None:
    tables = strange.tables()
    for language in LANGUAGES:
        names = {name for form in tables["forms"][language] for name in SLOT.findall(form)}
        names -= {"word", "big"}
        assert {name for name in names if tables["slots"][name].get(language)} == names


@pytest.mark.parametrize(
    ("value", "english", "chinese"),
    [
        (11, "eleven", "十一"),
        (20, "twenty", "二十"),
        (101, "one hundred and one", "一百零一"),
        (342, "three hundred and forty two", "三百四十二"),
        (510, "five hundred and ten", "五百一十"),
        (900, "nine hundred", "九百"),
    ],
)
def test_large_numbers_in_words(value: int, english: str, chinese: str) -> None:
    assert english_number(value) == english
    assert han_number(value) == chinese


def examples(task: str, count: int) -> list[Example]:
    assert task in ALL_TASKS
    return [example(n, 1, "train", task, "core") for n in range(count)]  # type: ignore[arg-type]


def test_what_is_strange_gets_the_one_answer() -> None:
    found = [one for one in examples("strange", 300) if len(one.turns) == 2]
    assert len(found) > 150
    assert all(one.answer == outside.ANSWER[one.language] for one in found)
    followed = [one for one in examples("strange", 300) if one.kind == "strange" and one.turns[3:]]
    assert {one.answer == outside.ANSWER[one.language] for one in followed} == {True, False}


def test_own_words_ask_for_what_is_right() -> None:
    drawn = examples("own_words", 300)
    assert {one.kind for one in drawn} == {"pictures", "clips", "said"}
    spoken = [one.speech for one in drawn]
    assert 0.2 < sum(spoken) / len(spoken) < 0.4
    answers = {fact.answer["en"] for group in GROUPS for fact in group.facts}
    answers |= {intent.answer["en"] for intent in talk.INTENTS}
    said = [one for one in drawn if one.kind == "said" and one.language == "en"]
    assert all(one.answer in answers for one in said)
    shown = [turn.parts[0] for one in drawn for turn in one.turns[:1] if one.kind != "said"]
    assert all(isinstance(part, Seen | Watched) for part in shown)


def test_the_words_are_not_those_of_the_tables() -> None:
    """Else nothing new is learnt; some kinds and sums in digits may be asked as before."""
    known = {
        question
        for table in (PICTURE_WORDINGS, CLIP_WORDINGS)
        for kind in table.values()
        for questions in kind.questions.values()
        for question in questions
    }
    asked = [
        part.text
        for one in examples("own_words", 200)
        for turn in one.turns
        for part in turn.parts
        if turn.role == "user" and isinstance(part, Typed)
    ]
    assert len(asked) > 200
    assert sum(one in known for one in asked) < 0.02 * len(asked)


def test_shares_add_up() -> None:
    assert people._PICTURE + people._CLIP + people._FACT < 1
    assert {"own_words", "strange"} < set(PEOPLE) and not set(PEOPLE) & set(WEIGHTS)
    assert picture_questions.PICTURE_KINDS and clip_questions.kinds("core", "moves")
    assert facts.count("core")[0] > 50
