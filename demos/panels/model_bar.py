"""The model bar: what is loaded, what to load, and an honest word about the embedded model.

Knows: the engine's report and settings. Does not know: how loading works.

There is one model for everybody. Where the page is open to strangers, they cannot choose it.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import gradio as gr
from gradio.components import Component

from demos.base.browser_values import Changes, Inputs, Values
from demos.base.debounce import debounced
from demos.base.events import QUIET, Event
from demos.base.languages import Words
from demos.base.owner import Owner
from demos.base.word_files import PageLanguage
from demos.turns.turn import progress_sentence
from omni.errors import OmniError
from omni.events import Progress
from omni.loading import nano
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
    from omni.engine import Engine, LoadReport

log = logging.getLogger(__name__)

AUTO = "auto"
MODELS = (AUTO, NANO, PUBLISHED_MODEL, PUBLISHED_BASE)
DEVICES = (AUTO, "cpu", "cuda", "cuda:0", "mps")


@dataclass(frozen=True, eq=False)
class ModelBar:
    """The bar's components and how they show the engine's state."""

    engine: Engine
    words: Words
    status: gr.HTML
    banner: gr.HTML
    load: gr.Button
    unload: gr.Button
    model: gr.Dropdown
    quantization: gr.Dropdown
    device: gr.Dropdown
    adapter: gr.Dropdown
    owner: Owner  # who may load another model and unload this one

    @property
    def state(self) -> list[Component]:
        """What shows the engine's state."""
        return [self.status, self.banner, self.load, self.unload]

    @property
    def choices(self) -> Inputs:
        """What says which model to load, and how."""
        return {self.model, self.quantization, self.device, self.adapter}

    @property
    def all(self) -> list[Component]:
        """Every component."""
        return [*self.state, self.model, self.quantization, self.device, self.adapter]

    def render(self, request: gr.Request, values: Values) -> Changes:
        """The engine's state, for the choices that are shown."""
        return self.view(self.words.of(request), self.chosen(values))

    def render_all(self, request: gr.Request) -> Changes:
        """The engine's state, and the choices that it was loaded with."""
        return self.view_all(self.words.of(request))

    def view(self, language: PageLanguage, chosen: EngineSettings) -> Changes:
        """See :meth:`render`."""
        report = self.engine.report
        sentence = self._sentence(report, language)
        key = untrained_key(self.engine) or small_key(self.engine)
        banner = self.words.say(language, key) if key else ""
        return {
            self.status: html.escape(sentence),
            self.banner: gr.update(value=html.escape(banner), visible=bool(banner)),
            self.load: gr.update(interactive=self._is_news(chosen)),
            self.unload: gr.update(interactive=report is not None),
        }

    def view_all(self, language: PageLanguage) -> Changes:
        """See :meth:`render_all`."""
        settings = self.engine.settings
        return {
            **self.view(language, settings),
            self.model: gr.update(value=self.owner.shown(settings.model), interactive=True),
            self.quantization: gr.update(value=settings.quantization, interactive=True),
            self.device: gr.update(value=settings.device, interactive=True),
            self.adapter: gr.update(
                choices=adapter_names(settings, self.owner),
                value=self.owner.shown(settings.adapter) or NO_ADAPTER,
                interactive=True,
            ),
        }

    def view_loading(self, sentence: str) -> Changes:
        """A load under way: nothing can be chosen."""
        off = dict.fromkeys((self.load, self.unload, *self.choices), gr.update(interactive=False))
        return {self.status: sentence, **off}

    def chosen(self, values: Values) -> EngineSettings:
        """What the choices say."""
        model: str | None = values[self.model]
        quantization: QuantizationChoice | None = values[self.quantization]
        device: str | None = values[self.device]
        own = self.engine.settings
        adapter: str | None = values[self.adapter]
        name = (model or "").strip() or AUTO
        known = {self.owner.shown(full): full for full in own.adapters}
        wanted = (adapter or "").strip()
        return replace(
            with_adapter(own, known.get(wanted, wanted)),
            model=own.model if name == self.owner.shown(own.model) else name,
            quantization=quantization or "auto",
            device=(device or "").strip() or AUTO,
        )

    def offer(self, values: Values) -> Changes:
        """Load can be pressed if it would do something."""
        return {self.load: gr.update(interactive=self._is_news(self.chosen(values)))}

    def follow(self, event: Event) -> None:
        """Show the state anew when ``event`` (a turn) is over."""
        event.then(self.render, self.choices, self.state, **QUIET)

    def _is_news(self, chosen: EngineSettings) -> bool:
        return self.engine.report is None or chosen != self.engine.settings

    def _sentence(self, report: LoadReport | None, language: PageLanguage) -> str:
        say = self.words.say
        if report is None:
            model = self.owner.shown(self.engine.settings.model)
            name = say(language, "model-auto") if model == "auto" else model
            return say(language, "model-none", model=name)
        dtype = report.dtype.removeprefix("torch.")
        if report.quantization != "none":
            dtype = f"{dtype}, {report.quantization}"
        sentence = say(
            language,
            "model-loaded",
            checkpoint=self.owner.shown(report.checkpoint),
            parameters=parameter_count(report.parameters),
            dtype=dtype,
            device=report.device,
            memory=memory_size(report.memory_bytes),
            seconds=report.load_s,
        )
        adapter = self.engine.settings.adapter
        if not adapter:
            return sentence
        return say(language, "model-adapter", model=sentence, adapter=self.owner.shown(adapter))


def build_model_bar(engine: Engine, words: Words, owner: Owner) -> ModelBar:
    """Lay the bar out where the caller is.

    Args:
        owner: who may load another model and unload it; others see the model.
    """
    with gr.Column(elem_classes=["model-card"]):
        with gr.Row(elem_classes=["model-bar"]):
            status = gr.HTML("", elem_id="model-status", elem_classes=["model-status"])
            load = gr.Button(
                words.static("load"),
                size="sm",
                elem_id="model-load",
                min_width=80,
                visible=owner.somebody,
            )
            unload = gr.Button(
                words.static("unload"),
                size="sm",
                elem_id="model-unload",
                min_width=80,
                interactive=False,
                visible=owner.somebody,
            )
        choices = _choices(engine, words, owner)
    banner = gr.HTML("", visible=False, elem_id="model-banner", elem_classes=["banner"])
    return ModelBar(engine, words, status, banner, load, unload, **choices, owner=owner)


def connect_model_bar(bar: ModelBar, loaded: Callable[[Event], None]) -> None:
    """Let the bar work; ``loaded`` is called with the event of a load (to chain)."""
    loaded(bar.load.click(_load_handler(bar), bar.choices, bar.all, api_name="bar_load", **QUIET))
    bar.unload.click(_unload_handler(bar), bar.choices, bar.state, api_name="bar_unload", **QUIET)
    debounced("model-choice", bar.choices)(bar.offer, bar.choices, bar.load, queue=False, **QUIET)


def _choices(engine: Engine, words: Words, owner: Owner) -> dict[str, gr.Dropdown]:
    settings = engine.settings
    shown = owner.shown(settings.model)
    accordion = gr.Accordion(
        words.static("model-choice"), open=False, visible=owner.somebody, elem_id="model-choice"
    )
    with accordion, gr.Row():
        model = gr.Dropdown(
            list(dict.fromkeys([*MODELS, shown])),
            value=shown,
            label=words.static("model"),
            info=words.static("model-help"),
            allow_custom_value=True,
            scale=2,
            elem_id="model-name",
        )
        quantization = gr.Dropdown(
            list(QUANTIZATIONS),
            value=settings.quantization,
            label=words.static("quantization"),
            info=words.static("quantization-help"),
            elem_id="model-quantization",
        )
        device = gr.Dropdown(
            list(dict.fromkeys([*DEVICES, settings.device])),
            value=settings.device,
            label=words.static("device"),
            info=words.static("device-help"),
            allow_custom_value=True,
            elem_id="model-device",
        )
        adapter = gr.Dropdown(
            adapter_names(settings, owner),
            value=owner.shown(settings.adapter) or NO_ADAPTER,
            label=words.static("adapter"),
            info=words.static("adapter-help"),
            allow_custom_value=True,
            elem_id="model-adapter",
        )
    return {"model": model, "quantization": quantization, "device": device, "adapter": adapter}


def adapter_names(settings: EngineSettings, owner: Owner) -> list[str]:
    """What can be chosen without typing: the model alone, and the adapters beside it."""
    return [NO_ADAPTER, *map(owner.shown, settings.adapters)]


def _load_handler(bar: ModelBar) -> Callable[[gr.Request, Values], Iterator[Changes]]:
    def load(request: gr.Request, values: Values) -> Iterator[Changes]:
        language = bar.words.of(request)
        if not bar.owner.asks(request):  # nothing of what is asked for is looked at
            gr.Warning(bar.words.say(language, "model-fixed"))
            yield bar.view_all(language)
            return
        yield bar.view_loading(bar.words.say(language, "model-loading"))
        try:
            for progress in bar.engine.load(bar.chosen(values)):
                yield bar.view_loading(progress_html(bar.words, language, progress))
        except OmniError as error:
            gr.Warning(bar.words.error(language, error))
        except Exception:
            log.exception("loading failed")
            gr.Warning(bar.words.say(language, "unexpected"))
        yield bar.view_all(language)

    return load


def progress_html(words: Words, language: PageLanguage, progress: Progress) -> str:
    """What long work is under way, with a bar."""
    sentence = html.escape(progress_sentence(words, language, progress))
    if not progress.total or progress.stage == "wait":
        return sentence
    share = min(progress.done / progress.total, 1)
    return f'{sentence} <progress max="1" value="{share:.3f}" aria-label="{sentence}"></progress>'


def _unload_handler(bar: ModelBar) -> Callable[[gr.Request, Values], Changes]:
    def unload(request: gr.Request, values: Values) -> Changes:
        language = bar.words.of(request)
        if not bar.owner.asks(request):
            gr.Warning(bar.words.say(language, "model-fixed"))
        elif bar.engine.busy:
            gr.Warning(bar.words.say(language, "model-busy"))
        else:
            bar.engine.unload()
        return bar.view(language, bar.chosen(values))

    return unload


def untrained_key(engine: Engine) -> str | None:
    """The key of the sentence about random answers, from the model that is loaded or will be."""
    if engine.report is not None:
        return None if engine.report.trained else "untrained"
    if (nano.NANO_FOLDER / nano.WEIGHTS_FILE).is_file():
        return None
    return {NANO: "untrained", "auto": "untrained-without-gpu"}.get(engine.settings.model)


def small_key(engine: Engine) -> str | None:
    """The key of the sentence about what the embedded model can do, where that one answers."""
    name = engine.report.checkpoint if engine.report else engine.settings.model
    return {NANO: "small", "auto": "small-without-gpu"}.get(name)


def parameter_count(number: int) -> str:
    """8,300,000,000 as 8.3 B, 14,200,000 as 14.2 M."""
    return f"{number / 1e9:.1f} B" if number >= 1e9 else f"{number / 1e6:.1f} M"


def memory_size(number: int) -> str:
    """Bytes as GB or MB."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"
