"""What the page offers to try: it is there, every checkpoint can, nano has not seen it before."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from demos.examples import FOLDER, read_examples
from demos.languages import LANGUAGES, Words
from examples.make_examples import CLIPS, PICTURES, SPOKEN
from finetune.domain.vocabulary import english_words, hanzi
from omni.conversation import Language

WORDS = Words()
EXAMPLES = [(tab, example) for tab, examples in read_examples().items() for example in examples]


@pytest.mark.parametrize(("tab", "example"), EXAMPLES, ids=lambda part: getattr(part, "key", part))
def test_an_example_is_complete_in_both_languages(tab: str, example: object) -> None:
    del tab
    for language in LANGUAGES:
        assert WORDS.ui[f"example-{example.key}"][language]  # type: ignore[attr-defined]
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
    kept = {file.name for kind in ("wav", "png", "mp4") for file in FOLDER.glob(f"*.{kind}")}
    made = {f"{name}.wav" for name in SPOKEN}
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
