"""The parameters panel: what is moved changes the checkpoint's own options, nothing else does."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from demos.panels.parameters import KNOBS, SEED_LIMIT, Parameters, change_of, seed_of
from omni.options import SPEECH, GenerationOptions

DEFAULTS = [knob.of(GenerationOptions()) for knob in KNOBS]
OWN = GenerationOptions(audio=replace(SPEECH, temperature=0.9, max_new=100))


def values(seed: Any = None, **moved: float) -> list[Any]:
    names = {knob.name.replace("-", "_"): index for index, knob in enumerate(KNOBS)}
    knobs = list(DEFAULTS)
    for name, value in moved.items():
        knobs[names[name]] = value
    return [DEFAULTS, seed, *knobs]


def test_untouched_means_the_checkpoints_own() -> None:
    assert change_of(values())(OWN) == OWN


def test_what_is_moved_changes_every_phase_that_it_names() -> None:
    changed = change_of(values(text_temperature=1.5, speech_top_k=50))(OWN)
    assert changed.first_text.temperature == 1.5
    assert changed.next_text.temperature == 1.5
    assert changed.text_only.temperature == 1.5
    assert changed.audio == replace(OWN.audio, top_k=50)
    assert isinstance(changed.audio.top_k, int)


def test_the_longest_answer_leaves_the_pauses_for_speech_alone() -> None:
    changed = change_of(values(text_max_new=2000))(OWN)
    assert changed.text_only.max_new == 2000
    assert changed.first_text == OWN.first_text


def test_values_outside_the_range_are_cut() -> None:
    changed = change_of(values(text_top_k=100_000, speech_temperature=-1))(OWN)
    assert changed.text_only.top_k == 100
    assert changed.audio.temperature == 0.1


@pytest.mark.parametrize(
    ("typed", "seed"),
    [(None, None), (" ", None), ("7", 7), (7.0, 7), (SEED_LIMIT + 1, 1), ("-3", 3)],
)
def test_seeds(typed: Any, seed: int | None) -> None:
    assert seed_of(typed) == seed
    assert change_of(values(seed=typed))(OWN).seed == seed


def test_any_text_is_a_seed() -> None:
    assert seed_of("two cats") == seed_of(" two cats ") != seed_of("one cat")
    assert seed_of("inf") is not None


def panel(own: GenerationOptions) -> Parameters:
    engine: Any = SimpleNamespace(default_options=own)
    nothing: Any = None
    return Parameters(engine, nothing, (), nothing, nothing)


def test_reset_shows_the_defaults_of_what_is_loaded() -> None:
    shown, seed, *knobs = panel(OWN).defaults()
    assert seed == ""
    assert shown == knobs == [knob.of(OWN) for knob in KNOBS]
    assert knobs != DEFAULTS


def test_sliders_are_left_alone_while_the_defaults_stay() -> None:
    assert set(map(str, panel(GenerationOptions()).following(*values(speech_top_k=9)))) == {
        str(gr.skip())
    }


def test_another_checkpoint_moves_just_the_sliders_that_nobody_moved() -> None:
    given = values(seed=5, speech_max_new=300)
    shown, seed, *knobs = panel(OWN).following(*given)
    assert seed == gr.skip()
    assert shown == [knob.of(OWN) for knob in KNOBS]
    named = dict(zip([knob.name for knob in KNOBS], knobs, strict=True))
    assert named["speech-max-new"] == gr.skip()  # it may have been moved again by now
    assert named["speech-temperature"] == 0.9
    stay = [old if new == gr.skip() else new for old, new in zip(given[2:], knobs, strict=True)]
    assert change_of([shown, 5, *stay])(OWN) == replace(
        OWN, audio=replace(OWN.audio, max_new=300), seed=5
    )
