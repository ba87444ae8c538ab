"""The parameters panel: what is moved changes the checkpoint's own options, nothing else does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
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
from omni.engine import Engine
from omni.loading import nano
from omni.loading.outlook.options import own_options
from omni.options import SPEECH, GenerationOptions
from omni.settings import PUBLISHED_MODEL, EngineSettings

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
    engine: Any = SimpleNamespace(
        default_options=GenerationOptions(), report="loaded", settings=EngineSettings("nano")
    )
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


def test_before_a_load_the_panel_shows_what_will_be_loaded() -> None:
    engine: Any = SimpleNamespace(report=None, settings=EngineSettings("nano"))
    nano_own = own_options(EngineSettings("nano"))
    assert (nano_own.audio.temperature, nano_own.audio.max_new) == (0.6, 150)  # from its files
    with gr.Blocks():
        parameters = build_parameters(engine, Words("en"))
    at_first = {knob.name: slider.value for knob, slider in parameters.sliders.items()}
    assert at_first == defaults_of(nano_own)
    held = values(parameters) | {parameters.shown: at_first}
    held |= {slider: at_first[knob.name] for knob, slider in parameters.sliders.items()}
    changes = parameters.following(held, EngineSettings(PUBLISHED_MODEL))
    assert changes[parameters.shown] == DEFAULTS  # which these say nothing about
    assert parameters.following({**held, **changes}, EngineSettings("nano"))[
        parameters.shown
    ] == defaults_of(nano_own)


def test_what_is_read_before_a_load_is_what_the_loaded_one_says(tmp_path: Path) -> None:
    engine = Engine(EngineSettings("nano", device="cpu"))
    before = own_options(engine.settings)
    list(engine.load())
    assert engine.default_options == before
    engine.unload()
    (tmp_path / "generation_config.json").write_text(
        '{"omni": {"options": {"audio": {"top_k": 7}}, "limits": {"text_tokens": 9}}}'
    )
    own = own_options(EngineSettings(str(tmp_path)))
    assert (own.audio.top_k, own.text_only.max_new) == (7, 9)
    (tmp_path / "generation_config.json").write_text("[")
    assert own_options(EngineSettings(str(tmp_path))) == GenerationOptions()  # the load will say it


def test_of_an_untrained_nano_its_limits_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    import omni.loading.outlook.options as module

    monkeypatch.setattr(module, "WEIGHTS_FILE", "nothing")
    own = own_options(EngineSettings("nano"))
    assert own.audio.max_new == nano.UNTRAINED_LIMITS["audio_frames"]
