"""Roles and named voices: ours, a person's own, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from demos.base.word_files import in_language
from demos.voices.catalog import ASSETS, Catalog, read_catalog
from omni.prompting.system_text import DEFAULT_VOICE


def test_our_tables_are_right() -> None:
    catalog = read_catalog([ASSETS])
    assert catalog.problems == ()
    assert len(catalog.roles) >= 8
    for role in catalog.roles.values():
        assert role.label["en"] != role.label["zh"], role.id
        assert role.text["en"] != role.text["zh"], role.id


def test_the_one_documented_voice_is_the_published_default() -> None:
    voices = read_catalog([ASSETS]).voices.values()
    assert [voice.name for voice in voices if voice.documented] == [DEFAULT_VOICE]


def test_the_trained_roles_have_the_sentences_that_trained_them() -> None:
    roles = pytest.importorskip("finetune.nano.domain.roles").ROLES
    ours = read_catalog([ASSETS]).roles
    for role in roles:
        for language in ("en", "zh"):
            assert ours[role.key].text[language] == role.systems[language][0]


def own(folder: Path, roles: str = "", voices: str = "") -> Catalog:
    if roles:
        (folder / "roles.yaml").write_text(roles, encoding="utf-8")
    if voices:
        (folder / "voices.yaml").write_text(voices, encoding="utf-8")
    return read_catalog([ASSETS, folder])


def test_people_add_and_replace(tmp_path: Path) -> None:
    catalog = own(
        tmp_path,
        """
roles:
  - {id: pirate, label: Corsair, text: {en: "You sail.", zh: "你航海。"}, pitch: low}
  - {id: clerk, label: {zh: 职员}, text: "You file papers.", recording: Anna, emotion: calm}
""",
        "voices: [{name: 某人}]",
    )
    assert catalog.problems == ()
    pirate, clerk = catalog.roles["pirate"], catalog.roles["clerk"]
    assert in_language(pirate.label, "zh") == "Corsair"
    assert in_language(pirate.text, "zh") == "你航海。"
    assert pirate.style == {"pitch": "low"}
    assert in_language(clerk.label, "en") == "职员"
    assert (clerk.saved_voice, clerk.emotion) == ("Anna", "calm")
    assert in_language(catalog.voices["某人"].label, "en") == "某人"
    assert not catalog.voices["某人"].documented
    assert next(iter(catalog.voices)) == DEFAULT_VOICE


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("{id: x, label: X}", "text is missing"),
        ("{id: x, label: X, text: Y, colour: red}", "colour is not known"),
        ("{id: x, label: X, text: Y, speed: quick}", "speed must be one of slow, fast"),
        ("{id: x, label: X, text: Y, emotion: bored}", "emotion must be one of happy"),
        ("{id: x, label: X, text: 7}", "text must be a text"),
        ("{id: x, label: {xx: X}, text: Y}", "label must be a text"),
        ("{id: x, label: {en: ''}, text: Y}", "en must be a text"),
        ("{id: 3, label: X, text: Y}", "id must be a text"),
        ("nonsense", "id, label, text"),
    ],
)
def test_a_wrong_entry_is_named_and_left_out(tmp_path: Path, entry: str, reason: str) -> None:
    good = "{id: good, label: Good, text: Fine}"
    catalog = own(tmp_path, f"roles:\n  - {good}\n  - {entry}\n")
    assert "good" in catalog.roles
    (problem,) = catalog.problems
    sentence = str(problem)
    assert str(tmp_path / "roles.yaml") in sentence
    assert "entry 2" in sentence
    assert reason in sentence
    assert ("(x)" in sentence) == ("id: x" in entry)


@pytest.mark.parametrize(
    "content", ["roles: 7", "- a", "other: []", "roles: [", "\tx: {", "!!python/object:os.x {}"]
)
def test_a_wrong_file_is_named_and_ours_stay(tmp_path: Path, content: str) -> None:
    catalog = own(tmp_path, content)
    assert "pirate" in catalog.roles
    (problem,) = catalog.problems
    assert str(tmp_path / "roles.yaml") in str(problem)


def test_an_empty_file_is_fine(tmp_path: Path) -> None:
    assert own(tmp_path, "# nothing yet").problems == ()


def test_a_voice_is_written_without_its_brackets(tmp_path: Path) -> None:
    (problem,) = own(tmp_path, voices="voices: [{name: 【某人】}]").problems
    assert "without" in str(problem)
