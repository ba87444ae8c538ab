"""The folded panel of generation parameters: how freely the model draws, how long it goes on.

Knows: its components, how their values change a checkpoint's own options.
Does not know: what the parameters do inside the model.

The panel shows the defaults of the checkpoint that is loaded; while none is, of the one that would
be, as the model card has it chosen. Just what a person moves away from
the shown default is changed; everything else stays the checkpoint's own, also after another one
was loaded.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import gradio as gr
from gradio.components import Component

from demos.base.browser_values import Changes, Inputs, Values
from demos.base.events import QUIET, Event
from demos.base.languages import Words
from omni.loading.outlook.options import own_options
from omni.options import GenerationOptions, Sampling
from omni.settings import EngineSettings

if TYPE_CHECKING:
    from demos.panels.model_card import ModelCard
    from omni.engine import Engine

Change: TypeAlias = Callable[[GenerationOptions], GenerationOptions]
Phase: TypeAlias = Literal["text", "speech"]
Shown: TypeAlias = dict[str, float]  # the default of each knob by its name
SEED_LIMIT = 2**31
MAX_ANSWER_TOKENS = 2048
MAX_SPOKEN_FRAMES = 750  # a spoken piece of a minute


@dataclass(frozen=True)
class Knob:
    """One slider: a field of :class:`Sampling` in one phase, and its range."""

    phase: Phase
    field: str
    least: float
    most: float
    step: float

    @property
    def name(self) -> str:
        """Its name in the page."""
        return f"{self.phase}-{self.field.replace('_', '-')}"

    def of(self, options: GenerationOptions) -> float:
        """The knob's value in ``options``; where phases differ, the first text's counts."""
        if self.phase == "speech":
            return float(getattr(options.audio, self.field))
        if self.field == "max_new":
            return float(options.text_only.max_new)
        return float(getattr(options.first_text, self.field))

    def set(self, options: GenerationOptions, value: float) -> GenerationOptions:
        """``options`` with this knob at ``value``."""
        if self.phase == "speech":
            return replace(options, audio=self._changed(options.audio, value))
        text_only = self._changed(options.text_only, value)
        if self.field == "max_new":  # spoken answers pause for speech; their calls stay short
            return replace(options, text_only=text_only)
        return replace(
            options,
            text_only=text_only,
            first_text=self._changed(options.first_text, value),
            next_text=self._changed(options.next_text, value),
        )

    def _changed(self, sampling: Sampling, value: float) -> Sampling:
        whole = isinstance(getattr(sampling, self.field), int)
        return replace(sampling, **{self.field: int(value) if whole else float(value)})  # type: ignore[arg-type]


KNOBS = (
    Knob("text", "temperature", 0.1, 2.0, 0.05),
    Knob("text", "top_k", 1, 100, 1),
    Knob("text", "top_p", 0.05, 1.0, 0.05),
    Knob("text", "repetition_penalty", 1.0, 2.0, 0.05),
    Knob("text", "max_new", 1, MAX_ANSWER_TOKENS, 1),
    Knob("speech", "temperature", 0.1, 2.0, 0.05),
    Knob("speech", "top_k", 1, 100, 1),
    Knob("speech", "top_p", 0.05, 1.0, 0.05),
    Knob("speech", "repetition_penalty", 1.0, 2.0, 0.05),
    Knob("speech", "max_new", 1, MAX_SPOKEN_FRAMES, 1),
)


@dataclass(frozen=True, eq=False)
class Parameters:
    """The panel's components. ``shown``: the defaults that the sliders started from."""

    engine: Engine
    seed: gr.Textbox
    sliders: Mapping[Knob, gr.Slider]
    shown: gr.State  # Shown
    write_down: gr.Checkbox  # whether what the model heard of a question is written down
    reset: gr.Button

    @property
    def inputs(self) -> Inputs:
        """What the options of a turn are made from."""
        return set(self.outputs)

    @property
    def outputs(self) -> list[Component]:
        """What follows the checkpoint that is loaded."""
        return [self.shown, self.seed, *self.sliders.values()]

    def change(self, values: Values) -> Change:
        """How the values of :attr:`inputs` change a checkpoint's own options."""
        shown: Shown = values[self.shown]
        return change_of(moved(shown, self._stand(values)), values[self.seed])

    def follow(self, event: Event, card: ModelCard | None = None) -> None:
        """Show the defaults of what is loaded when ``event`` is over, or else of what ``card`` has
        chosen; None: of what the engine is set to.
        """

        def following(values: Values) -> Changes:
            return self.following(values, card.chosen(values) if card else None)

        inputs = self.inputs | (card.choices if card else set())
        event.then(following, inputs, self.outputs, **QUIET)

    def own(self, chosen: EngineSettings | None = None) -> GenerationOptions:
        """The checkpoint's own options.

        Args:
            chosen: what would be loaded, where nothing is; None: what the engine is set to.
        """
        if self.engine.report is not None:
            return self.engine.default_options
        return own_options(chosen or self.engine.settings)

    def defaults(self) -> Changes:
        """Everything back to the defaults of what is loaded, or will be."""
        now = defaults_of(self.own())
        sliders: Changes = {slider: now[knob.name] for knob, slider in self.sliders.items()}
        return {self.shown: now, self.seed: "", **sliders}

    def following(self, values: Values, chosen: EngineSettings | None = None) -> Changes:
        """The defaults of :meth:`own`; what the person moved is left alone."""
        shown: Shown = values[self.shown]
        now = defaults_of(self.own(chosen))
        if now == shown:  # nothing to do
            return {self.shown: gr.skip()}
        kept = moved(shown, self._stand(values))  # it may have been moved again by now
        left = {knob: slider for knob, slider in self.sliders.items() if knob not in kept}
        sliders: Changes = {slider: now[knob.name] for knob, slider in left.items()}
        return {self.shown: now, **sliders}

    def _stand(self, values: Values) -> dict[Knob, float | None]:
        """At what each slider stands."""
        return {knob: values[slider] for knob, slider in self.sliders.items()}


def defaults_of(options: GenerationOptions) -> Shown:
    """At what the sliders stand for a checkpoint's own options."""
    return {knob.name: knob.of(options) for knob in KNOBS}


def moved(shown: Shown, stand: Mapping[Knob, float | None]) -> dict[Knob, float]:
    """The sliders that stand elsewhere than at the shown defaults; None: one that was emptied."""
    return {
        knob: float(value)
        for knob, value in stand.items()
        if value is not None and not math.isclose(value, shown[knob.name], abs_tol=1e-6)
    }


def change_of(knobs: Mapping[Knob, float], seed: object = None) -> Change:
    """How moved sliders and a seed change a checkpoint's own options."""

    def change(options: GenerationOptions) -> GenerationOptions:
        for knob, value in knobs.items():
            options = knob.set(options, min(max(value, knob.least), knob.most))
        return replace(options, seed=seed_of(seed))

    return change


def seed_of(value: object) -> int | None:
    """A seed that a person typed: a number, or any text; None: a fresh one for each answer."""
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    try:
        return abs(int(float(text))) % SEED_LIMIT
    except (ValueError, OverflowError):  # no number
        return zlib.crc32(text.encode()) % SEED_LIMIT


def build_parameters(engine: Engine, words: Words) -> Parameters:
    """Lay the folded panel out where the caller is, and connect Reset."""
    settings = engine.settings
    defaults = defaults_of(engine.default_options if engine.report else own_options(settings))
    sliders = {}
    with gr.Accordion(words.static("parameters"), open=False, elem_id="parameters"):
        gr.Markdown(words.static("parameters-help"), elem_classes=["hint"])
        seed = gr.Textbox(  # a Number cannot be empty
            "",
            label=words.static("seed"),
            info=words.static("seed-help"),
            max_lines=1,
            elem_id="parameter-seed",
        )
        for phase in ("text", "speech"):
            gr.Markdown(words.static(f"parameters-{phase}"), elem_classes=["panel-part"])
            for knob in KNOBS:
                if knob.phase == phase:
                    sliders[knob] = _slider(knob, defaults[knob.name], words)
        reset = gr.Button(words.static("reset"), size="sm", elem_id="parameters-reset")
        write_down = gr.Checkbox(
            True,
            label=words.static("write-down"),
            info=words.static("write-down-help"),
            elem_id="parameter-write-down",
        )
    panel = Parameters(engine, seed, sliders, gr.State(defaults), write_down, reset)
    reset.click(panel.defaults, None, panel.outputs, **QUIET)
    return panel


def _slider(knob: Knob, default: float, words: Words) -> gr.Slider:
    return gr.Slider(
        knob.least,
        knob.most,
        default,
        step=knob.step,
        label=words.static(f"parameter-{knob.field.replace('_', '-')}"),
        info=words.static(f"parameter-{knob.field.replace('_', '-')}-help"),
        buttons=[],
        elem_id=f"parameter-{knob.name}",
    )
