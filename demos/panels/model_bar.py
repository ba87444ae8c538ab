"""The model bar: what is loaded, what to load, and an honest word about the embedded model.

Knows: the engine's report and settings. Does not know: how loading works.

There is one model for everybody. Where the page is open to strangers, they cannot choose it.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.components import Component

from demos.base.browser_values import Changes, Inputs, Values
from demos.base.debounce import debounced
from demos.base.events import QUIET, Event
from demos.base.languages import Words
from demos.base.owner import Owner, without_folder
from demos.base.word_files import PageLanguage
from demos.panels.keep_button import KeepButton, memory_size, progress_html
from omni.errors import OmniError
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
LOOK_S = 1.0  # between two looks at a load that a turn has begun
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
    cancel: gr.Button  # there while a load is under way
    unload: gr.Button
    keep: KeepButton
    watch: gr.Timer  # ticks while a turn may load the model
    model: gr.Dropdown
    quantization: gr.Dropdown
    device: gr.Dropdown
    adapter: gr.Dropdown
    owner: Owner  # who may load another model and unload this one

    @property
    def state(self) -> list[Component]:
        """What shows the engine's state."""
        buttons = [self.load, self.cancel, self.unload, self.keep.button]
        return [self.status, self.banner, *buttons, self.watch]

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
        return self.view(request, self.chosen(values))

    def render_all(self, request: gr.Request) -> Changes:
        """The engine's state, and the choices that it was loaded with."""
        return self.view_chosen(request, self.engine.settings)

    def view(self, request: gr.Request, chosen: EngineSettings) -> Changes:
        """See :meth:`render`."""
        language = self.words.of(request)
        if (progress := self.engine.loading) is not None:
            told = progress_html(self.words, language, progress)
            return self._view_loading(told) | {self.watch: gr.update(active=True)}
        report = self.engine.report
        sentence = self._sentence(report, request)
        key = untrained_key(self.engine) or small_key(self.engine)
        banner = self.words.say(language, key) if key else self._slow(language)
        return {
            self.status: html.escape(sentence),
            self.banner: gr.update(value=html.escape(banner), visible=bool(banner)),
            self.load: gr.update(interactive=self._is_news(chosen)),
            self.cancel: gr.update(visible=False),
            self.unload: gr.update(interactive=report is not None and not self.engine.elsewhere),
            self.keep.button: self.keep.view(language),
            self.watch: gr.update(active=False),
        }

    def view_chosen(self, request: gr.Request, chosen: EngineSettings) -> Changes:
        """The engine's state, and ``chosen`` as the choices."""
        return {**self.view(request, chosen), **self._choose(request, chosen, interactive=True)}

    def _choose(self, request: gr.Request, chosen: EngineSettings, interactive: bool) -> Changes:
        # Each with its value: a browser that draws one anew may have forgotten what was typed.
        model = self.owner.shown(chosen.model, request)
        return {
            self.model: gr.update(value=model, interactive=interactive),
            self.quantization: gr.update(value=chosen.quantization, interactive=interactive),
            self.device: gr.update(value=chosen.device, interactive=interactive),
            self.adapter: gr.update(
                choices=adapter_names(self.owner.shown(name, request) for name in chosen.adapters),
                value=self.owner.shown(chosen.adapter, request) or NO_ADAPTER,
                interactive=interactive,
            ),
        }

    def view_loading(self, request: gr.Request, sentence: str, chosen: EngineSettings) -> Changes:
        """A load of ``chosen`` that this page asked for: nothing else can be chosen."""
        return self._view_loading(sentence) | self._choose(request, chosen, interactive=False)

    def view_keeping(self, request: gr.Request, sentence: str) -> Changes:
        """Weights are being kept on the disk: nothing else can be chosen."""
        return self.view_loading(request, sentence, self.engine.settings)

    def _view_loading(self, sentence: str) -> Changes:
        return {
            self.status: sentence,
            self.load: gr.update(interactive=False),
            self.cancel: gr.update(visible=self.owner.somebody),
            self.unload: gr.update(interactive=False),
            self.keep.button: gr.update(interactive=False),
        }

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

    def _slow(self, language: PageLanguage) -> str:
        """What a person should know where speech takes longer than it lasts; else nothing."""
        report = self.engine.report
        if report is None or not speaks_slowly(self.engine):
            return ""
        megapixels = report.max_pixels / 1e6
        return self.words.say(language, "slow", times=report.speech_s, megapixels=megapixels)

    def _sentence(self, report: LoadReport | None, request: gr.Request) -> str:
        say, language = self.words.say, self.words.of(request)
        if report is None:
            model = self.owner.shown(self.engine.settings.model, request)
            name = say(language, "model-auto") if model == "auto" else model
            return say(language, "model-none", model=name)
        dtype = report.dtype.removeprefix("torch.")
        if report.quantization != "none":
            dtype = f"{dtype}, {report.quantization}"
        sentence = say(
            language,
            "model-loaded",
            checkpoint=self.owner.shown(report.checkpoint, request),
            parameters=parameter_count(report.parameters),
            dtype=dtype,
            device=report.device,
            memory=memory_size(report.memory_bytes),
            seconds=report.load_s,
        )
        if not (adapter := self.engine.settings.adapter):
            return sentence
        adapter = self.owner.shown(adapter, request)
        return say(language, "model-adapter", model=sentence, adapter=adapter)


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
            cancel = gr.Button(
                words.static("load-cancel"),
                size="sm",
                elem_id="model-cancel",
                min_width=80,
                visible=False,
            )
            unload = gr.Button(
                words.static("unload"),
                size="sm",
                elem_id="model-unload",
                min_width=80,
                interactive=False,
                visible=owner.somebody,
            )
            button = gr.Button("", size="sm", elem_id="model-keep", min_width=80, visible=False)
        choices = _choices(engine, words, owner)
    banner = gr.HTML("", visible=False, elem_id="model-banner", elem_classes=["banner"])
    watch = gr.Timer(LOOK_S, active=False)
    return ModelBar(
        engine,
        words,
        status,
        banner,
        load=load,
        cancel=cancel,
        unload=unload,
        keep=KeepButton(engine, words, owner, button),
        watch=watch,
        owner=owner,
        **choices,
    )


def connect_model_bar(bar: ModelBar, loaded: Callable[[Event], None]) -> None:
    """Let the bar work; ``loaded`` is called with the event of a load (to chain)."""
    loaded(bar.load.click(_load_handler(bar), bar.choices, bar.all, api_name="bar_load", **QUIET))
    now: dict[str, Any] = {**QUIET, "queue": False}
    bar.cancel.click(_cancel_handler(bar), None, None, api_name="bar_cancel", **now)
    bar.watch.tick(bar.look, bar.choices, bar.state, api_name="bar_look", **now)
    bar.unload.click(_unload_handler(bar), bar.choices, bar.state, api_name="bar_unload", **QUIET)
    keep = bar.keep.handler(bar.view_keeping, bar.render_all)
    bar.keep.button.click(keep, bar.choices, bar.all, api_name="bar_keep", **QUIET)
    debounced("model-choice", bar.choices)(bar.offer, bar.choices, bar.load, queue=False, **QUIET)


def _choices(engine: Engine, words: Words, owner: Owner) -> dict[str, gr.Dropdown]:
    settings = engine.settings
    shown = without_folder(settings.model)  # whoever asks; its owner sees all of it a moment later
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
            adapter_names(map(without_folder, settings.adapters)),
            value=without_folder(settings.adapter) or NO_ADAPTER,
            label=words.static("adapter"),
            info=words.static("adapter-help"),
            allow_custom_value=True,
            elem_id="model-adapter",
        )
    return {"model": model, "quantization": quantization, "device": device, "adapter": adapter}


def adapter_names(loaded: Iterable[str]) -> list[str]:
    """What can be chosen without typing: the model alone, and those beside it."""
    return [NO_ADAPTER, *loaded]


def _load_handler(bar: ModelBar) -> Callable[[gr.Request, Values], Iterator[Changes]]:
    def load(request: gr.Request, values: Values) -> Iterator[Changes]:
        language = bar.words.of(request)
        if not bar.owner.asks(request):  # nothing of what is asked for is looked at
            gr.Warning(bar.words.say(language, "model-fixed"))
            yield bar.render_all(request)
            return
        chosen = bar.chosen(values)
        yield bar.view_loading(request, bar.words.say(language, "model-loading"), chosen)
        try:
            for progress in bar.engine.load(chosen):
                told = progress_html(bar.words, language, progress)
                yield bar.view_loading(request, told, chosen)
        except OmniError as error:
            gr.Warning(bar.words.error(language, error))
        except Exception:
            log.exception("loading failed")
            gr.Warning(bar.words.say(language, "unexpected"))
        else:
            yield bar.render_all(request)
            return
        yield bar.view_chosen(request, chosen)  # what was chosen stays so, to be tried again

    return load


def _cancel_handler(bar: ModelBar) -> Callable[[gr.Request], None]:
    def cancel(request: gr.Request) -> None:
        if not bar.owner.asks(request):
            gr.Warning(bar.words.say(bar.words.of(request), "model-fixed"))
            return
        bar.engine.cancel_load()
        bar.keep.stop.set()

    return cancel


def _unload_handler(bar: ModelBar) -> Callable[[gr.Request, Values], Changes]:
    def unload(request: gr.Request, values: Values) -> Changes:
        language = bar.words.of(request)
        if not bar.owner.asks(request):
            gr.Warning(bar.words.say(language, "model-fixed"))
        elif bar.engine.busy:
            gr.Warning(bar.words.say(language, "model-busy"))
        else:
            bar.engine.unload()
        return bar.view(request, bar.chosen(values))

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


def speaks_slowly(engine: Engine) -> bool:
    """Whether the loaded model was measured to speak slower than it is heard."""
    return engine.report is not None and engine.report.speech_s > 1.0


def parameter_count(number: int) -> str:
    """8,300,000,000 as 8.3 B, 14,200,000 as 14.2 M."""
    return f"{number / 1e9:.1f} B" if number >= 1e9 else f"{number / 1e6:.1f} M"
