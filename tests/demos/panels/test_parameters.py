"""The parameters panel: what is moved changes the checkpoint's own options, nothing else does."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from demos.base.browser_values import Changes
from demos.base.languages import Words
from demos.panels.parameters import (
    KNOBS,
    SEED_LIMIT,
    Change,
    Parameters,
    build_parameters,
    change_of,
    defaults_of,
    moved,
    seed_of,
)
from omni.options import SPEECH, GenerationOptions

DEFAULTS = defaults_of(GenerationOptions())
OWN = GenerationOptions(audio=replace(SPEECH, temperature=0.9, max_new=100))
BY_NAME = {knob.name: knob for knob in KNOBS}


def change(seed: Any = None, **stand: float) -> Change:
    """What the panel makes of sliders that stand at these places, by their names."""
    named = DEFAULTS | {name.replace("_", "-"): value for name, value in stand.items()}
    return change_of(moved(DEFAULTS, {BY_NAME[name]: value for name, value in named.items()}), seed)


def test_untouched_means_the_checkpoints_own() -> None:
    assert change()(OWN) == OWN


def test_what_is_moved_changes_every_phase_that_it_names() -> None:
    changed = change(text_temperature=1.5, speech_top_k=50)(OWN)
    assert changed.first_text.temperature == 1.5
    assert changed.next_text.temperature == 1.5
    assert changed.text_only.temperature == 1.5
    assert changed.audio == replace(OWN.audio, top_k=50)
    assert isinstance(changed.audio.top_k, int)


def test_the_longest_answer_leaves_the_pauses_for_speech_alone() -> None:
    changed = change(text_max_new=2000)(OWN)
    assert changed.text_only.max_new == 2000
    assert changed.first_text == OWN.first_text


def test_values_outside_the_range_are_cut() -> None:
    changed = change(text_top_k=100_000, speech_temperature=-1)(OWN)
    assert changed.text_only.top_k == 100
    assert changed.audio.temperature == 0.1


@pytest.mark.parametrize(
    ("typed", "seed"),
    [(None, None), (" ", None), ("7", 7), (7.0, 7), (SEED_LIMIT + 1, 1), ("-3", 3)],
)
def test_seeds(typed: Any, seed: int | None) -> None:
    assert seed_of(typed) == seed
    assert change(seed=typed)(OWN).seed == seed


def test_any_text_is_a_seed() -> None:
    assert seed_of("two cats") == seed_of(" two cats ") != seed_of("one cat")
    assert seed_of("inf") is not None


def panel(own: GenerationOptions) -> Parameters:
    """The panel as it is laid out for other options, and what is loaded then."""
    engine: Any = SimpleNamespace(default_options=GenerationOptions())
    with gr.Blocks():
        laid_out = build_parameters(engine, Words("en"))
    engine.default_options = own
    return laid_out


def values(panel: Parameters, seed: str = "", **stand: float) -> Changes:
    """What the panel's components hold."""
    named = {name.replace("_", "-"): value for name, value in stand.items()}
    held: Changes = {panel.shown: DEFAULTS, panel.seed: seed}
    for knob, slider in panel.sliders.items():
        held[slider] = named.pop(knob.name, DEFAULTS[knob.name])
    assert not named
    return held


def test_reset_shows_the_defaults_of_what_is_loaded() -> None:
    parameters = panel(OWN)
    changes = parameters.defaults()
    assert changes[parameters.seed] == ""
    sliders = {knob.name: changes[slider] for knob, slider in parameters.sliders.items()}
    assert changes[parameters.shown] == sliders == defaults_of(OWN)
    assert sliders != DEFAULTS


def test_sliders_are_left_alone_while_the_defaults_stay() -> None:
    parameters = panel(GenerationOptions())
    changes = parameters.following(values(parameters, speech_top_k=9))
    assert changes == {parameters.shown: gr.skip()}


def test_another_checkpoint_moves_just_the_sliders_that_nobody_moved() -> None:
    parameters = panel(OWN)
    given = values(parameters, seed="5", speech_max_new=300)
    changes = parameters.following(given)
    assert parameters.seed not in changes
    assert changes[parameters.shown] == defaults_of(OWN)
    sliders = {knob.name: slider for knob, slider in parameters.sliders.items()}
    assert sliders["speech-max-new"] not in changes  # it may have been moved again by now
    assert changes[sliders["speech-temperature"]] == 0.9
    assert parameters.change({**given, **changes})(OWN) == replace(
        OWN, audio=replace(OWN.audio, max_new=300), seed=5
    )
