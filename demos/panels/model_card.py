"""The model card: what is loaded, what can be, does it fit; the chip in the head that opens it.

Knows: the engine's report and settings, where components stand. Does not know: how loading works,
what the handlers do (demos.panels.model_actions).

There is one model for everybody. Where the page is open to strangers, they see how it stands with
it and cannot choose.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import gradio as gr
from gradio.components import Component

from demos.base.browser_values import Changes, Inputs, Values
from demos.base.events import QUIET, Event
from demos.base.languages import Words
from demos.base.owner import Owner, without_folder
from demos.panels.header import build_links
from demos.panels.keep_button import KeepButton, progress_html
from demos.panels.model_state import (
    chip_sentence,
    notice,
    sentence,
    small_key,
    state_name,
    untrained_key,
    version,
)
from omni.events import Progress
from omni.settings import (
    NANO,
    NO_ADAPTER,
    PUBLISHED_BASE,
    PUBLISHED_MODEL,
    QUANTIZATIONS,
    EngineSettings,
    QuantizationChoice,
    with_adapter,
)

if TYPE_CHECKING:
    from omni.engine import Engine

AUTO = "auto"
LOOK_S = 1.0  # between two looks at a load
MODELS = (AUTO, NANO, PUBLISHED_MODEL, PUBLISHED_BASE)
DEVICES = (AUTO, "cpu", "cuda", "cuda:0", "mps")
TOGGLE_JS = "() => { omniModel.toggle(); }"
CLOSE_JS = "() => { omniModel.close(true); }"


@dataclass(frozen=True, eq=False)
class ModelCard:
    """The components of card and chip, and how they show the engine's state."""

    engine: Engine
    words: Words
    owner: Owner  # who may load another model and unload this one
    chip: gr.Button
    status: gr.HTML
    problem: gr.HTML  # why the last load of this page failed
    banner: gr.HTML
    own: gr.Column  # what only those see who may choose
    verdict: gr.HTML  # whether what is chosen fits, and what would instead
    outlook: gr.HTML  # what can be loaded here, as a table
    load: gr.Button
    cancel: gr.Button  # there while a load is under way
    unload: gr.Button
    keep: KeepButton
    watch: gr.Timer  # ticks while the model is loaded, by whomever
    news: gr.HTML  # its event: somewhere something has become of the model
    model: gr.Dropdown
    quantization: gr.Dropdown
    device: gr.Dropdown
    adapter: gr.Dropdown

    @property
    def state(self) -> list[Component]:
        """What shows the engine's state."""
        buttons = [self.load, self.cancel, self.unload, self.keep.button]
        return [self.chip, self.status, self.banner, *buttons, self.watch]

    @property
    def choices(self) -> Inputs:
        """What says which model to load, and how."""
        return {self.model, self.quantization, self.device, self.adapter}

    @property
    def all(self) -> list[Component]:
        """Every component that the server changes, but the outlook."""
        chosen = [self.model, self.quantization, self.device, self.adapter]
        return [*self.state, *chosen, self.problem, self.own]  # type: ignore[list-item]

    def render(self, request: gr.Request, values: Values) -> Changes:
        """The engine's state, for the choices that are shown."""
        return self.view(request, self.chosen(values))

    def render_all(self, request: gr.Request) -> Changes:
        """The engine's state, and the choices that it was loaded with."""
        return self.view_chosen(request, self.engine.settings)

    def view(self, request: gr.Request, chosen: EngineSettings) -> Changes:
        """See :meth:`render`."""
        language, engine = self.words.of(request), self.engine
        if (progress := engine.loading) is not None:
            return self._view_loading(request, progress) | {self.watch: gr.update(active=True)}
        told = notice(self.words, language, engine)
        said = sentence(self.words, language, engine, self.owner, request)
        return {
            self.chip: chip_sentence(self.words, language, engine),
            self.status: self._status(html.escape(said)),
            self.banner: gr.update(value=html.escape(told), visible=bool(told)),
            self.load: gr.update(interactive=self._is_news(chosen)),
            self.cancel: gr.update(visible=False),
            self.unload: gr.update(interactive=bool(engine.report) and not engine.elsewhere),
            self.keep.button: self.keep.view(language),
            self.watch: gr.update(active=False),
        }

    def view_chosen(
        self, request: gr.Request, chosen: EngineSettings, problem: str = ""
    ) -> Changes:
        """The engine's state, and ``chosen`` as the choices.

        Args:
            problem: why these could not be loaded.
        """
        loads = self.engine.loading is not None
        return {
            **self.view(request, chosen),
            **self._choose(request, chosen, interactive=not loads),
            self.problem: _alert(problem),
        }

    def _choose(self, request: gr.Request, chosen: EngineSettings, interactive: bool) -> Changes:
        # Each with its value: a browser that draws one anew may have forgotten what was typed.
        model = self.owner.shown(chosen.model, request)
        return {
            self.own: gr.update(visible=self.owner.asks(request)),
            self.model: gr.update(value=model, interactive=interactive),
            self.quantization: gr.update(value=chosen.quantization, interactive=interactive),
            self.device: gr.update(value=chosen.device, interactive=interactive),
            self.adapter: gr.update(
                choices=adapter_names(self.owner.shown(name, request) for name in chosen.adapters),
                value=self.owner.shown(chosen.adapter, request) or NO_ADAPTER,
                interactive=interactive,
            ),
        }

    def view_loading(
        self, request: gr.Request, progress: Progress | None, chosen: EngineSettings
    ) -> Changes:
        """A load of ``chosen`` that this page asked for: nothing else can be chosen."""
        return {
            **self._view_loading(request, progress),
            **self._choose(request, chosen, interactive=False),
            self.problem: "",
        }

    def view_keeping(self, request: gr.Request, progress: Progress) -> Changes:
        """Weights are being kept on the disk: nothing else can be chosen."""
        language, settings = self.words.of(request), self.engine.settings
        chip = chip_sentence(self.words, language, self.engine)
        return {**self.view_loading(request, progress, settings), self.chip: chip}

    def _view_loading(self, request: gr.Request, progress: Progress | None) -> Changes:
        words, language = self.words, self.words.of(request)
        told = words.say(language, "model-loading")
        if progress is not None:
            told = progress_html(words, language, progress)
        progress = progress or Progress("check", 0, 0)
        return {
            self.chip: chip_sentence(words, language, self.engine, progress),
            self.status: self._status(told, loads=True),
            self.load: gr.update(interactive=False),
            self.cancel: gr.update(visible=self.owner.asks(request)),
            self.unload: gr.update(interactive=False),
            self.keep.button: gr.update(interactive=False),
        }

    def _status(self, told: str, loads: bool = False) -> str:
        state, number = state_name(self.engine, loads), version(self.engine)
        return f'<div data-state="{state}" data-version="{number}">{told}</div>'

    def chosen(self, values: Values) -> EngineSettings:
        """What the choices say."""
        model: str | None = values[self.model]
        quantization: QuantizationChoice | None = values[self.quantization]
        device: str | None = values[self.device]
        own = self.engine.settings
        name = (model or "").strip() or AUTO
        known = {without_folder(full): full for full in own.adapters}
        wanted = str(values[self.adapter] or "").strip()
        return replace(
            with_adapter(own, known.get(wanted, wanted)),
            model=own.model if name == without_folder(own.model) else name,
            quantization=quantization or "auto",
            device=(device or "").strip() or AUTO,
        )

    def begin_watch(self) -> Changes:
        """Look after the engine while a turn may load the model."""
        return {self.watch: gr.update(active=self._is_news(self.engine.settings))}

    def look(self, request: gr.Request, values: Values) -> Changes:
        """The engine's state while the page watches it."""
        if self.engine.loading is None and self.engine.busy and self.engine.report is None:
            return {}  # a turn that has not come to the load yet
        return self.render(request, values)

    def offer(self, values: Values) -> Changes:
        """Load can be pressed if it would do something."""
        return {self.load: gr.update(interactive=self._is_news(self.chosen(values)))}

    def follow(self, event: Event) -> None:
        """Show the state anew when ``event`` (a turn) is over."""
        event.then(self.render, self.choices, self.state, **QUIET)

    def _is_news(self, chosen: EngineSettings) -> bool:
        return self.engine.report is None or chosen != self.engine.settings


def build_model_chip(engine: Engine, words: Words) -> gr.Button:
    """Lay the chip out where the caller is; it opens the card (assets/scripts/model.js)."""
    name = "chip-model-none" if engine.report is None else "model"
    return gr.Button(
        words.static(name),
        size="sm",
        min_width=0,
        elem_id="model-open",
        elem_classes=["model-chip"],
    )


def build_model_card(engine: Engine, words: Words, owner: Owner, chip: gr.Button) -> ModelCard:
    """Lay the card out, which floats over the page, and below it in the page's flow the notice.

    Args:
        owner: who may load another model and unload it; others see the model.
        chip: what opens the card.
    """
    with gr.Column(elem_id="model-card", elem_classes=["model-card"]):
        with gr.Row(elem_classes=["model-head"]):
            gr.Markdown(words.static("model-title"), elem_id="model-title")
            shut = gr.Button(
                words.static("model-close"), size="sm", min_width=0, elem_id="model-close"
            )
        build_links(words)  # where the head has no room for them
        status = gr.HTML("", elem_id="model-status", elem_classes=["model-status"])
        cancel = _button(words, "load-cancel", "model-cancel", visible=False)
        problem = gr.HTML("", elem_id="model-problem")
        with gr.Column(elem_id="model-choice", visible=owner.somebody) as own:
            choices = _choices(engine, words)
            verdict = gr.HTML("", elem_id="model-verdict")
            with gr.Row(elem_classes=["model-buttons"]):
                load = _button(words, "load", "model-load", variant="primary")
                unload = _button(words, "unload", "model-unload", interactive=False)
                button = gr.Button("", size="sm", elem_id="model-keep", min_width=80, visible=False)
            outlook = gr.HTML("", elem_id="model-outlook")
    # There from the start: nothing moves when the server says it once more.
    known = untrained_key(engine) or small_key(engine)
    banner = gr.HTML(
        words.static(known) if known else "",
        visible=bool(known),
        elem_id="model-banner",
        elem_classes=["banner"],
    )
    for opener, js in ((chip, TOGGLE_JS), (shut, CLOSE_JS)):
        opener.click(None, None, None, js=js, **QUIET)
    return ModelCard(
        engine,
        words,
        owner,
        chip,
        status,
        problem,
        banner,
        own,
        verdict,
        outlook,
        load,
        cancel,
        unload,
        keep=KeepButton(engine, words, owner, button),
        watch=gr.Timer(LOOK_S, active=False),
        news=gr.HTML(
            elem_id="model-news",
            elem_classes=["bridge"],
            js_on_load='omniModel.watch(() => trigger("news"));',
        ),
        **choices,
    )


def _button(words: Words, word: str, name: str, **options: object) -> gr.Button:
    return gr.Button(words.static(word), size="sm", elem_id=name, min_width=80, **options)  # type: ignore[arg-type]


def _choices(engine: Engine, words: Words) -> dict[str, gr.Dropdown]:
    settings = engine.settings
    shown = without_folder(settings.model)  # whoever asks; its owner sees all of it a moment later

    def choice(name: str, choices: list[str], value: str, own: bool = True) -> gr.Dropdown:
        word = name.removeprefix("model-")
        return gr.Dropdown(
            choices,
            value=value,
            label=words.static("model" if word == "name" else word),
            info=words.static("model-help" if word == "name" else f"{word}-help"),
            allow_custom_value=own,
            min_width=120,
            elem_id=name,
        )

    model = choice("model-name", list(dict.fromkeys([*MODELS, shown])), shown)
    with gr.Row(elem_classes=["model-ways"]):
        quantization = choice(
            "model-quantization", list(QUANTIZATIONS), settings.quantization, own=False
        )
        device = choice(
            "model-device", list(dict.fromkeys([*DEVICES, settings.device])), settings.device
        )
        adapter = choice(
            "model-adapter",
            adapter_names(map(without_folder, settings.adapters)),
            without_folder(settings.adapter) or NO_ADAPTER,
        )
    return {"model": model, "quantization": quantization, "device": device, "adapter": adapter}


def adapter_names(loaded: Iterable[str]) -> list[str]:
    """What can be chosen without typing: the model alone, and those beside it."""
    return [NO_ADAPTER, *loaded]


def _alert(problem: str) -> str:
    return f'<div role="alert">{html.escape(problem)}</div>' if problem else ""
