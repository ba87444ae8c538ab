"""Questions are measured kind by kind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from benchmarks import question_kinds
from benchmarks.lib.rows import read_json
from finetune.nano.domain.languages import Language
from finetune.nano.domain.width import LANGUAGES
from finetune.nano.examples.parts import Heard, Seen, Typed, Watched
from tests.support.espeak import needs_espeak

NUMBERS = ("zero", "one", "two", "three", "four", "five")


@needs_espeak
def test_pictures_clips_and_sums_are_asked_about(tmp_path: Path) -> None:
    file = tmp_path / "kinds.json"
    kinds = ("size", "direction", "heard-sum")
    arguments = ["--items", "2", "--kinds", *kinds, "--json", str(file)]
    assert question_kinds.main(arguments) == 0
    rows, about = read_json(file)
    names = [f"{language}.{kind}_percent" for kind in kinds for language in LANGUAGES]
    assert [row.name for row in rows] == names
    assert all(row.value in (0, 50, 100) for row in rows)
    assert about["command"].startswith("python -m benchmarks.question_kinds")


@pytest.mark.parametrize("kind", [*question_kinds.PICTURES, *question_kinds.CLIPS])
def test_what_is_shown_is_of_the_validation_side(kind: str) -> None:
    rng = Random(1)
    for _ in range(5):
        (shown, asked), _ = question_kinds.draw(kind, "en", rng)
        assert isinstance(asked, Typed)
        assert isinstance(shown, Watched if kind in question_kinds.CLIPS else Seen)
        scene = shown.scene if isinstance(shown, Seen) else shown.clip  # type: ignore[union-attr]
        assert scene.split == "validation"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", question_kinds.FACTS)
def test_facts_are_typed_or_heard(kind: str, language: Language) -> None:
    rng = Random(3)
    for _ in range(10):
        (asked,), answer = question_kinds.draw(kind, language, rng)
        assert isinstance(asked, Typed if kind.startswith("typed") else Heard) and answer
        text = asked.text if isinstance(asked, Typed) else asked.utterance.text  # type: ignore[union-attr]
        adds = any(word in text.lower() for word in ("plus", "add", "加"))
        assert adds == kind.endswith("sum")


def test_among_asks_for_some_of_the_things() -> None:
    rng = Random(2)
    numbers = Counter[str]()
    for _ in range(60):
        (shown, asked), answer = question_kinds.draw(question_kinds.AMONG, "en", rng)
        assert isinstance(shown, Seen) and isinstance(asked, Typed)
        looks = [(thing.shape, thing.color) for thing in shown.scene.things]
        named = [any(word in asked.text for word in look) for look in looks]
        assert sum(named) == NUMBERS.index(answer)
        assert any(named) and not all(named)
        numbers[answer] += 1
    assert len(numbers) > 2


def test_no_items_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        question_kinds.main(["--items", "0"])
    assert "--items" in capsys.readouterr().err
