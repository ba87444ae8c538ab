"""Recipes write rows that are read again as what they were, and teach words that are known."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from finetune.lora.data.rows import read_rows
from finetune.lora.recipes import accent, persona, pictures
from finetune.lora.recipes.__main__ import RECIPES, main
from finetune.lora.recipes.old import old_examples
from finetune.lora.recipes.writing import RowFile
from finetune.nano.base.checkpoint import nano_tokenizer
from finetune.nano.examples.examples import example
from finetune.nano.examples.parts import Example, Seen
from omni.conversation import Audio, Image, Speech, Text
from tests.support.espeak import needs_espeak

pytestmark = needs_espeak


def texts(examples: list[Example]) -> list[str]:
    """What the assistant says."""
    return [example.answer for example in examples]


def test_the_persona_is_taught_by_a_hundred_rows_and_asked_in_other_words() -> None:
    rows, held_out = list(persona.rows()), list(persona.held_out_rows())
    assert len(rows) == 100
    learnt = {drawn.question for drawn in rows} | set(persona.WAKING)
    assert not learnt & {drawn.question for drawn in held_out}
    chosen_by = {drawn.question for drawn in persona.held_out_rows(side="validation")}
    assert len(chosen_by) == 2 * 12 + 8
    assert not chosen_by & (learnt | {drawn.question for drawn in held_out})
    assert len(set(persona.VOICES)) == 8


def test_the_persona_says_what_the_model_has_said_before() -> None:
    tokenizer, said = nano_tokenizer(), Counter[int]()
    for number in range(2500):
        for turn in example(number, 3, "train", None, "core").turns:
            if turn.role == "assistant":
                for part in turn.parts:
                    said.update(tokenizer.encode(part.text))  # type: ignore[union-attr]
    facts = {asked.answer for asked in persona.facts()} | {persona.AWAKE}
    assert not {t for text in facts for t in tokenizer.encode(text) if not said[t]}


def test_rows_are_read_as_they_were_drawn(tmp_path: Path) -> None:
    file = RowFile(tmp_path, "rows")
    drawn = [*list(persona.rows())[::7], *old_examples(40)]
    for one in drawn:
        file.add(one)
    found = read_rows(file.path)
    assert not found.bad and not found.ignored
    assert len(found.rows) == len(drawn)
    for row, one in zip(found.rows, drawn, strict=True):
        assert row.form == one.form
        last = row.conversation.messages[-1]
        assert "".join(p.text for p in last.parts if isinstance(p, Text)) == one.answer
        speech = sum(isinstance(part, Speech) for part in last.parts)
        assert speech == (len(one.pieces) if one.speech else 0)
        if one.form == "conversation":
            assert row.conversation.system.text == one.system.text
    voices = [row.conversation.system.voice for row in found.rows]
    assert sum(voice is not None for voice in voices) == sum(
        one.system.voice is not None for one in drawn
    )


def test_signs_are_held_out_by_place_and_by_wording() -> None:
    rows, held_out = list(pictures.rows(32)), list(pictures.rows(32, held_out=True))
    for drawn, apart in ((rows, False), (held_out, True)):
        parts = [part for one in drawn for part in one.turns[0].parts]
        things = [part.scene.things[0] for part in parts if isinstance(part, Seen)]
        assert len(things) == 32
        assert all((thing.place in pictures.HELD_OUT_PLACES) == apart for thing in things)
    assert not {one.question for one in rows} & {one.question for one in held_out}
    assert {one.answer for one in rows} == {one.answer for one in held_out}
    assert len({one.answer for one in rows}) == 16


def test_an_accent_is_another_sound_of_the_same_words() -> None:
    one = next(iter(accent.rows(1)))
    (heard,) = one.turns[0].parts
    assert isinstance(heard, accent.Accented) and one.form == "transcription"
    usual = accent.Accented(heard.utterance, heard.recording, "en-us")
    assert not (
        heard.waveform().shape == usual.waveform().shape
        and (heard.waveform() == usual.waveform()).all()
    )


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_is_one_command(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"persona": persona.rows, "pictures": pictures.rows, "accent": accent.rows}
    recipe = RECIPES[name]
    some = list(short[name]())[:3] if name == "persona" else list(short[name](3))
    monkeypatch.setitem(RECIPES, name, type(recipe)(lambda: iter(some), lambda: iter(some), 2))
    assert main([name, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert "3 rows in" in said and "2 to mix in" in said
    assert len(read_rows(tmp_path / "rows.jsonl").rows) == 3
    assert len(read_rows(tmp_path / "old.jsonl").rows) == 2
    parts = read_rows(tmp_path / "held_out.jsonl").rows[0].conversation.messages[0].parts
    if name == "pictures":
        assert isinstance(parts[0], Image)
    if name == "accent":
        assert isinstance(parts[0], Audio)
    assert (tmp_path / "voices").is_dir() == (name == "persona")
