"""Rows teach the embedded model what it did not know, and it keeps what it knew.

Everything goes the way of a person: rows and recordings as files, the commands, the engine. What
was measured is printed: ``pytest -s``, for the whole of it ``-m slow -s``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.quality.natural.outside import answers_heard, readings_error
from benchmarks.quality.quality_rows import ENOUGH, MEASURES, Bench, measure
from benchmarks.quality.talking import Talker
from finetune.__main__ import main
from finetune.lora.compare import Compared, compare
from finetune.lora.data.rows import read_rows
from finetune.lora.recipes import persona
from finetune.lora.recipes.__main__ import RECIPES, Recipe, write, write_voices
from omni.engine import Engine
from omni.errors import ResourceError
from omni.settings import EngineSettings, with_adapter
from tests.support.espeak import needs_espeak

pytestmark = needs_espeak
NANO = EngineSettings(model="nano", device="cpu")
LOSS = 2.0  # points that a row may lose; of 200 items one is half a point
OLD_ROWS = (*MEASURES, *(f"zh_{name}" for name in MEASURES))
# Of the persona in docs/finetune.md.
PERSONA_FLAGS = ("--epochs", "7", "--audio-head", "--code-noise", "0.2")
FLAGS = ("--rank", "16", "--rate", "1e-3", "--batch", "8", "--max-tokens", "600", "--device", "cpu")


def learnt(recipe: Recipe, folder: Path, old: int, *more: str) -> str:
    """The adapter of a recipe, trained by the command."""
    rows, _, known = write(recipe, folder, old)
    command = ["lora", "--model", "nano", "--data", str(rows.path), "--out", str(folder / "run")]
    if old:
        command += ["--mix", str(known.path)]
    assert main([*command, *FLAGS, *more]) == 0
    return str(folder / "run")


def told(compared: Compared) -> Compared:
    """What was asked before and after, printed."""
    print("", *compared.lines(), sep="\n")
    return compared


def right(compared: Compared, after: bool, spoken: bool) -> tuple[int, int]:
    """Right answers of all, of the rows that were to be written or to be spoken."""
    rows = [row for row in compared.rows if row.spoken == spoken]
    answers = [row.after if after else row.before for row in rows]
    return sum(answer.right for answer in answers), len(rows)


def test_a_few_facts_are_learnt_in_a_minute(tmp_path: Path) -> None:
    recipe = Recipe(
        lambda: persona.rows(people=2, wakings=4), lambda: persona.held_out_rows(people=2), 0
    )
    adapter = learnt(recipe, tmp_path, 0, "--steps", "50", "--mode", "text")
    held_out = read_rows(tmp_path / "held_out.jsonl").rows
    facts = [row for row in held_out if not row.speech]
    compared = told(compare(facts, NANO, with_adapter(NANO, adapter)))
    assert right(compared, after=False, spoken=False) == (0, 12)
    found, count = right(compared, after=True, spoken=False)
    assert found >= 0.9 * count


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_facts_and_a_voice_are_learnt_and_nothing_old_is_lost(tmp_path: Path) -> None:
    recipe = RECIPES["persona"]
    assert sum(1 for _ in recipe.rows()) == 100
    adapter = learnt(recipe, tmp_path, recipe.old, *PERSONA_FLAGS)
    voices = write_voices(tmp_path / "voices")
    held_out = read_rows(tmp_path / "held_out.jsonl").rows
    sounds = tmp_path / "heard"
    compared = told(compare(held_out, NANO, with_adapter(NANO, adapter), voices, sounds=sounds))
    tell_outside(compared, sounds, voices)
    assert right(compared, after=False, spoken=False)[0] == 0
    found, count = right(compared, after=True, spoken=False)
    assert found >= 0.9 * count
    before, after = compared.in_voice
    assert before == 0 and after >= 6  # of 8 awakenings, by wordings that were not learnt
    lost = dict(old_table(adapter, tmp_path))
    assert all(points <= LOSS for points in lost.values()), lost


def old_table(
    adapter: str, folder: Path, names: Iterable[str] = OLD_ROWS
) -> Iterator[tuple[str, float]]:
    """What each row of the old table has lost, in points."""
    # One of each: rows about the same readings share them.
    benches = [bench(NANO, folder / "before"), bench(with_adapter(NANO, adapter), folder / "after")]
    for name in names:
        before, after = (value(one, name) for one in benches)
        print(f"{name}: {before:.1f} before, {after:.1f} after", flush=True)
        # speech_wer is an error, all others are shares of what is right.
        yield name, after - before if name.endswith("speech_wer") else before - after
        if name == "speech_wer":
            for side, one in zip(("before", "after"), benches, strict=True):
                tell_readings(side, one)


def tell_outside(compared: Compared, sounds: Path, voices: list[Path]) -> None:
    """What listeners that people's speech trained make of the answers, printed."""
    answers = sounds / "answers.json"
    answers.write_text(json.dumps(asdict(compared)), encoding="utf-8")
    try:
        for row in answers_heard(answers, sounds, voices):
            print("from outside:", *row.cells())
    except ResourceError as error:
        print(f"no listener from outside: {error}")


def tell_readings(side: str, asked: Bench) -> None:
    """The same of what was read aloud for the table."""
    try:
        readings = [(each.sentences[0], each.wave) for each in asked.readings("en")]
        own, espeak = readings_error(readings)
        print(f"pocketsphinx {side}: {own:.1f} % of the words wrong, of espeak-ng's {espeak:.1f} %")
    except ResourceError as error:
        print(f"no listener from outside: {error}")


def bench(settings: EngineSettings, folder: Path) -> Bench:
    """A loaded engine to ask."""
    folder.mkdir()
    engine = Engine(settings)
    for _ in engine.load(settings):
        pass
    return Bench(Talker(engine, folder), "core", ENOUGH)


def value(asked: Bench, name: str) -> float:
    """A row of the table."""
    found = measure(asked, name).value
    assert found is not None
    return found
