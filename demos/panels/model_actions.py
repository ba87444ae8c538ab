"""What happens when a person uses the model card.

Knows: the engine's loading, who may. Does not know: layout, how loading works.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from demos.base.browser_values import Changes, Values
from demos.base.debounce import debounced
from demos.base.events import QUIET, Event
from demos.panels.model_card import ModelCard
from demos.panels.model_outlook import outlook_html
from omni.errors import OmniError

log = logging.getLogger(__name__)


def connect_model_card(card: ModelCard, loaded: Callable[[Event], None]) -> None:
    """Let the card work; ``loaded`` is called with events after which other defaults may hold."""
    now: dict[str, Any] = {**QUIET, "queue": False}
    look_again = (outlook_handler(card), card.choices, [card.verdict, card.outlook])
    done = card.load.click(load_handler(card), card.choices, card.all, api_name="bar_load", **QUIET)
    loaded(done)
    done.then(*look_again, **now)
    card.cancel.click(cancel_handler(card), None, None, api_name="bar_cancel", **now)
    card.watch.tick(card.look, card.choices, card.state, api_name="bar_look", **now)
    news = card.news.news(card.render, card.choices, card.state, **now)
    loaded(news)
    unload = unload_handler(card)
    gone = card.unload.click(unload, card.choices, card.state, api_name="bar_unload", **QUIET)
    loaded(gone)
    gone.then(*look_again, **now)
    keep = card.keep.handler(card.view_keeping, card.render_all)
    card.keep.button.click(keep, card.choices, card.all, api_name="bar_keep", **QUIET)
    settled = debounced("model-choice", card.choices)
    changed = settled(card.offer, card.choices, card.load, queue=False, **QUIET)
    loaded(changed)
    changed.then(*look_again, **now)
    card.chip.click(*look_again, **now, api_name="model_outlook")


def load_handler(card: ModelCard) -> Callable[[gr.Request, Values], Iterator[Changes]]:
    """Loads what is chosen; a load that fails leaves the choices, and says why."""

    def load(request: gr.Request, values: Values) -> Iterator[Changes]:
        words, language = card.words, card.words.of(request)
        if not card.owner.asks(request):  # nothing of what is asked for is looked at
            gr.Warning(words.say(language, "model-fixed"))
            yield card.render_all(request)
            return
        chosen = card.chosen(values)
        yield card.view_loading(request, None, chosen)
        try:
            for progress in card.engine.load(chosen):
                yield card.view_loading(request, progress, chosen)
        except OmniError as error:
            problem = words.error(language, error)
        except Exception:
            log.exception("loading failed")
            problem = words.say(language, "unexpected")
        else:
            yield card.render_all(request)
            return
        yield card.view_chosen(request, chosen, problem)  # it stays chosen, to be tried again

    return load


def cancel_handler(card: ModelCard) -> Callable[[gr.Request], None]:
    """Gives up the load that is under way, for everybody."""

    def cancel(request: gr.Request) -> None:
        if not card.owner.asks(request):
            gr.Warning(card.words.say(card.words.of(request), "model-fixed"))
            return
        card.engine.cancel_load()
        card.keep.stop.set()

    return cancel


def unload_handler(card: ModelCard) -> Callable[[gr.Request, Values], Changes]:
    """Frees the model, unless it is at work."""

    def unload(request: gr.Request, values: Values) -> Changes:
        language = card.words.of(request)
        if not card.owner.asks(request):
            gr.Warning(card.words.say(language, "model-fixed"))
        elif card.engine.busy:
            gr.Warning(card.words.say(language, "model-busy"))
        else:
            card.engine.unload()
        return card.view(request, card.chosen(values))

    return unload


def outlook_handler(card: ModelCard) -> Callable[[gr.Request, Values], Changes]:
    """What fits, for those who may choose."""

    def look(request: gr.Request, values: Values) -> Changes:
        if card.engine.elsewhere or not card.owner.asks(request):
            return {card.verdict: "", card.outlook: ""}
        language = card.words.of(request)
        verdict, table = outlook_html(card.engine, card.chosen(values), card.words, language)
        return {card.verdict: verdict, card.outlook: table}

    return look
