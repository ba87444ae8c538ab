"""The folded panel of generation parameters: how freely the model draws, how long it goes on.

Knows: its components, how their values change a checkpoint's own options.
Does not know: what the parameters do inside the model.

The panel shows the defaults of the checkpoint that is loaded. Just what a person moves away from
the shown default is changed; everything else stays the checkpoint's own, also after another one
was loaded.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import gradio as gr
from gradio.components import Component

from demos.base.languages import Words
from omni.options import GenerationOptions, Sampling

if TYPE_CHECKING:
    from omni.engine import Engine

Change: TypeAlias = Callable[[GenerationOptions], GenerationOptions]
Phase: TypeAlias = Literal["text", "speech"]
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
        return f"{self.phase}-{self.field.replace('_', '-')}"

    def of(self, options: GenerationOptions) -> float:
        """The knob's value in ``options``; where phases differ, the first text's counts."""
        if self.phase == "speech":
            return float(getattr(options.audio, self.field))
        if self.field == "max_new":
            return float(options.text_only.max_new)
        return float(getattr(options.first_text, self.field))

    def turn(self, options: GenerationOptions, value: float) -> GenerationOptions:
        """``options`` with this knob at ``value``."""
        if self.phase == "speech":
            return replace(options, audio=self._set(options.audio, value))
        text_only = self._set(options.text_only, value)
        if self.field == "max_new":  # spoken answers pause for speech; their calls stay short
            return replace(options, text_only=text_only)
        return replace(
            options,
            text_only=text_only,
            first_text=self._set(options.first_text, value),
            next_text=self._set(options.next_text, value),
        )

    def _set(self, sampling: Sampling, value: float) -> Sampling:
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


@dataclass(frozen=True)
class Parameters:
    """The panel's components. ``shown``: the defaults that the sliders started from."""

    engine: Engine
    seed: gr.Textbox
    knobs: tuple[gr.Slider, ...]
    shown: gr.State
    reset: gr.Button

    @property
    def inputs(self) -> list[Component]:
        return [self.shown, self.seed, *self.knobs]

    def change(self, values: Sequence[Any]) -> Change:
        """How the values of :attr:`inputs` change a checkpoint's own options."""
        return change_of(values)

    def follow(self, event: Any) -> None:
        """Show the defaults of what is loaded when ``event`` is over."""
        event.then(
            self.following,
            self.inputs,
            self.outputs,
            show_progress="hidden",
            api_visibility="private",
        )

    @property
    def outputs(self) -> list[Component]:
        return self.inputs

    def defaults(self) -> tuple[Any, ...]:
        """Everything back to the defaults of what is loaded, as the values of :attr:`outputs`."""
        now = [knob.of(self.engine.default_options) for knob in KNOBS]
        return (now, "", *now)

    def following(self, shown: Sequence[float], _seed: Any, *knobs: Any) -> tuple[Any, ...]:
        """The defaults of what is loaded now; what the person moved is left alone."""
        now = [knob.of(self.engine.default_options) for knob in KNOBS]
        if now == list(shown):  # nothing to do
            return tuple(gr.skip() for _ in self.outputs)
        values = [
            gr.skip() if value is not None and _moved(value, old) else new
            for value, old, new in zip(knobs, shown, now, strict=True)
        ]
        return (now, gr.skip(), *values)


def change_of(values: Sequence[Any]) -> Change:
    """See :meth:`Parameters.change`; values: shown defaults, seed, one for each of KNOBS."""
    shown, seed, *knobs = values
    moved = [
        (knob, float(value))
        for knob, value, default in zip(KNOBS, knobs, shown, strict=True)
        if value is not None and _moved(value, default)
    ]

    def change(options: GenerationOptions) -> GenerationOptions:
        for knob, value in moved:
            options = knob.turn(options, min(max(value, knob.least), knob.most))
        return replace(options, seed=seed_of(seed))

    return change


def seed_of(value: Any) -> int | None:
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
    defaults = [knob.of(engine.default_options) for knob in KNOBS]
    sliders = []
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
            for knob, default in zip(KNOBS, defaults, strict=True):
                if knob.phase == phase:
                    sliders.append(_slider(knob, default, words))
        reset = gr.Button(words.static("reset"), size="sm", elem_id="parameters-reset")
    panel = Parameters(engine, seed, tuple(sliders), gr.State(defaults), reset)
    reset.click(
        panel.defaults, None, panel.outputs, show_progress="hidden", api_visibility="private"
    )
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


def _moved(value: Any, default: float) -> bool:
    return not math.isclose(float(value), default, abs_tol=1e-6)
