"""What the page offers to try: it is there, every checkpoint can, nano has not seen it before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from demos.base.languages import Words
from demos.base.word_files import PROMPT_LANGUAGES
from demos.tabs.examples import Example, read_examples
from finetune.measures.texts import exact
from finetune.nano.domain.languages import Language
from finetune.nano.domain.vocabulary import english_words, hanzi
from finetune.nano.make_examples import CLIPS, PICTURES, SPOKEN
from omni.conversation import DEFAULT_SYSTEM_TEXT, Conversation, Message, SystemPrompt, Text
from omni.engine import Engine
from omni.events import TurnEnd
from omni.settings import EngineSettings
from tests.support.root import ROOT

FOLDER = ROOT / "examples"
WORDS = Words()
EXAMPLES = [(tab, example) for tab, examples in read_examples().items() for example in examples]


@pytest.mark.parametrize(("tab", "example"), EXAMPLES, ids=lambda part: getattr(part, "key", part))
def test_an_example_is_complete_in_both_languages(tab: str, example: object) -> None:
    del tab
    for language in PROMPT_LANGUAGES:
        assert WORDS.say(language, f"example-{example.key}")  # type: ignore[attr-defined]
        variant = example.variants[language]  # type: ignore[attr-defined]
        for name in variant.files:
            assert (FOLDER / name).stat().st_size > 500
        assert len(variant.parts(Path)) >= 1
        known_words(variant.text, language)


def known_words(text: str, language: Language) -> None:
    """Nano's lessons have every word of a text."""
    if language == "en":
        unknown = set(re.findall(r"[A-Za-z]+", text)) - set(english_words("core"))
    else:
        unknown = set(re.findall(r"[\u4e00-\u9fff]", text)) - set(hanzi("core"))
    assert not unknown


def test_every_file_is_used_and_made() -> None:
    used = {
        name
        for _, example in EXAMPLES
        for variant in example.variants.values()
        for name in variant.files
    }
    kept = {file.name for kind in ("flac", "png", "mp4") for file in FOLDER.glob(f"*.{kind}")}
    made = {f"{name}.flac" for name in SPOKEN}
    made |= {f"{name}.png" for name in PICTURES} | {f"{name}.mp4" for name in CLIPS}
    assert used == kept == made


@pytest.mark.parametrize("name", SPOKEN)
def test_what_is_spoken_has_known_words(name: str) -> None:
    language, _, text = SPOKEN[name]
    known_words(text, language)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*PICTURES, *CLIPS])
def test_what_is_seen_was_held_out_from_nanos_lessons(name: str) -> None:
    scene = PICTURES.get(name) or CLIPS[name]
    assert scene.split == "test"


ANSWERS: Mapping[str, Mapping[Language, str]] = {
    "capital": {"en": "Paris", "zh": "巴黎"},
    "translate": {"en": "我看见红色的猫和绿色的鱼。", "zh": "I see a red cat and a green fish."},
    "sum": {"en": "five", "zh": "五"},
    "who": {"en": "I am Nano, a very small model.", "zh": "我是纳诺，一个很小的模型。"},
    "moves": {"en": "the red heart moves to the right", "zh": "红色的心形向右移动"},
    "appears": {"en": "a green star", "zh": "一个绿色的星形"},
    "vanishes": {"en": "a blue circle", "zh": "一个蓝色的圆形"},
    "changes": {"en": "blue", "zh": "蓝色"},
    "shapes": {"en": "a red star and a blue circle", "zh": "一个红色的星形和一个蓝色的圆形"},
    "count": {"en": "three", "zh": "三个"},
    "where": {"en": "at the bottom", "zh": "下面"},
    "number": {"en": "seven", "zh": "七"},
    "asked": {"en": "blue", "zh": "蓝色"},
}
ASKED = [example for _, example in EXAMPLES if example.key in ANSWERS]


@pytest.fixture(scope="module")
def nano() -> Engine:
    engine = Engine(EngineSettings(model="nano", device="cpu"))
    for _ in engine.load():
        pass
    return engine


def test_every_example_that_is_answered_is_checked() -> None:
    others = {example.key for _, example in EXAMPLES} - set(ANSWERS)
    assert others == {"write", "say"}  # a transcript and a reading


@pytest.mark.parametrize("language", PROMPT_LANGUAGES)
@pytest.mark.parametrize("example", ASKED, ids=lambda part: part.key)
def test_nano_is_right_about_what_the_page_offers(
    nano: Engine, example: Example, language: Language
) -> None:
    asked = Message("user", tuple(example.variants[language].parts(FOLDER.joinpath)))
    conversation = Conversation(SystemPrompt(DEFAULT_SYSTEM_TEXT), (asked,), language)
    *_, end = nano.turn(conversation, lambda usual: replace(usual, speech=True, seed=1))
    assert isinstance(end, TurnEnd)
    answer = "".join(part.text for part in end.message.parts if isinstance(part, Text))
    assert exact(answer, ANSWERS[example.key][language])


@pytest.mark.parametrize("language", PROMPT_LANGUAGES)
def test_nano_writes_down_the_sentence_that_the_page_offers(
    nano: Engine, language: Language
) -> None:
    name = f"sentence_{language}"
    *_, end = nano.transcribe(FOLDER / f"{name}.flac")
    assert isinstance(end, TurnEnd)
    (written,) = end.message.parts
    assert isinstance(written, Text) and exact(written.text, SPOKEN[name][2])
