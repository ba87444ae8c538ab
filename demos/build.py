"""The whole page: header, voice panel, model card, tabs.

Knows: what stands where, and what happens when a page comes and goes.
Does not know: what is inside the panels and tabs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from demos.api import build_api
from demos.base.browser_values import Changes
from demos.base.events import QUIET, Event
from demos.base.gradio_internals import (
    believe_files_without_ffprobe,
    leave_no_empty_files,
    tell_few,
)
from demos.base.languages import Words
from demos.base.owner import OWNER, Owner
from demos.base.page import Page
from demos.conversations.panel import build_conversations
from demos.hosting.health import route as health_route
from demos.live.panel import build_live
from demos.live.route import LiveDesk
from demos.panels.header import CHOOSE_JS, build_header, skip_link
from demos.panels.model_actions import connect_model_card
from demos.panels.model_card import ModelCard, build_model_card, build_model_chip
from demos.panels.model_state import news_route, speaks_slowly
from demos.panels.parameters import Parameters, build_parameters
from demos.playback.voice_line import VoiceDesk
from demos.tabs.audio import AUDIO
from demos.tabs.chips import connect_marks
from demos.tabs.composer import lay_words_out
from demos.tabs.image import IMAGE
from demos.tabs.spec import Tab, TabContext, TabSpec
from demos.tabs.tab import build_tab
from demos.tabs.video import VIDEO
from demos.turns.sessions import Sessions
from demos.turns.uploads import Uploads
from demos.voices.build import BuiltVoice, build_voice_panel
from demos.voices.library import VoiceLibrary

if TYPE_CHECKING:
    from omni.engine import Engine

TITLE = "Baichuan-Omni-1.5"
SIDEBAR_PX = 320
TABS = (AUDIO, VIDEO, IMAGE)


def build(
    engine: Engine,
    sessions: Sessions,
    words: Words,
    library: VoiceLibrary | None = None,
    tabs: Sequence[TabSpec] = TABS,
    owner: Owner = OWNER,
    note: str | None = None,
) -> gr.Blocks:
    """The page around one engine; every visitor gets a session of ``sessions``.

    Args:
        library: where voices are kept; None: each session's own (see build_voice_panel).
        tabs: what the page offers, in this order.
        owner: who may change the model.
        note: the word of what every visitor should know; None: nothing.
    """
    if not owner.private:
        words = words.for_others()
    leave_no_empty_files()
    believe_files_without_ffprobe()
    with Page(words, title=TITLE, analytics_enabled=False) as page:
        build_api(engine, sessions, words, owner, library)  # first: so its names are its own
        skip_link(words)
        lay_words_out(words)
        conversation_bar = build_conversation_bar(words)
        with build_settings_bar(words):
            voice = build_voice_panel(engine, sessions, words, library, owner)
            parameters = build_parameters(engine, words)
            gr.Markdown(words.static("keys-help"), elem_classes=["hint", "keys"])
        head = build_header(words)
        with head.tools:
            chip = build_model_chip(engine, words)
        if note is not None:
            gr.Markdown(words.static(note), elem_id="page-note", elem_classes=["hint"])
        card = build_model_card(engine, words, owner, chip)
        context = TabContext(engine, sessions, words, voice, parameters, VoiceDesk())
        built = _build_tabs(page, tabs, context, card)
        with conversation_bar:
            conversations = build_conversations(page, built, context)
        _connect_model(page, card, parameters, built)
        voice.greet(page.load)

        said_again = _connect_language(page, head.language, words, card, voice, built)
        conversations.translate(said_again)
        connect_marks(built, context, card.status, page.load, said_again.then)
        _connect_visits(page, sessions)
    tell_few(page)
    return page


def build_settings_bar(words: Words) -> gr.Sidebar:
    """Lay the right sidebar out: voice and parameters."""
    with gr.Sidebar(
        label=words.static("voice-panel"),
        open=False,
        width=SIDEBAR_PX,
        position="right",
        elem_id="settings",
    ) as bar:
        gr.Markdown(words.static("voice-title"), elem_classes=["panel-title"])
    return bar


def _connect_visits(page: Page, sessions: Sessions) -> None:
    """A page comes, brings files, and goes."""

    def arrive(request: gr.Request) -> None:
        sessions.of(request).page = True

    def leave(request: gr.Request) -> None:
        sessions.leave(request.session_hash)

    page.load(arrive, None, None, queue=False, **QUIET)
    page.unload(leave)
    page.before.append(
        partial(Uploads, root=sessions.root, quota=lambda: sessions.quota, words=page.words)
    )


def build_conversation_bar(words: Words) -> gr.Sidebar:
    """Lay the left sidebar out: what is there besides the conversation that is shown."""
    with gr.Sidebar(
        label=words.static("conversations"), open=False, width=SIDEBAR_PX, elem_id="conversations"
    ) as bar:
        gr.Markdown(words.static("conversations-title"), elem_classes=["panel-title"])
        anew = gr.Button(
            words.static("clear"), elem_id="new-conversation", elem_classes=["new-conversation"]
        )
        anew.click(None, None, None, js="() => { omniComposer.anew(); }")
    return bar


def _connect_model(
    page: Page, card: ModelCard, parameters: Parameters, tabs: Sequence[Tab]
) -> None:
    """The card at work, and what follows the model that it loads."""
    text_first = _text_first(card.engine, tabs, parameters)

    def loaded(event: Event) -> None:
        parameters.follow(event, card)
        text_first(event.then)

    connect_model_card(card, loaded)
    text_first(page.load)
    shown = page.load(card.render_all, None, card.all, api_name="model_status", **QUIET)
    parameters.follow(shown, card)


def _text_first(
    engine: Engine, tabs: Sequence[Tab], parameters: Parameters
) -> Callable[[Callable[..., Event]], None]:
    """Connects an event: where speech takes longer than it lasts, it is spoken, and
    questions are written down, by choice alone.
    """
    boxes = [*(tab.speak for tab in tabs), parameters.write_down]

    def choose() -> list[Any]:
        return [gr.update(value=False) if speaks_slowly(engine) else gr.skip() for _ in boxes]

    def connect(event: Callable[..., Event]) -> None:
        event(choose, None, boxes, queue=False, **QUIET)

    return connect


def _build_tabs(
    page: Page, specs: Sequence[TabSpec], context: TabContext, card: ModelCard
) -> list[Tab]:
    """The tabs, with Live in those that have it."""
    live = LiveDesk()
    built = []
    context.voices.speak_through(context.voice_lines)
    if not any(spec.live for spec in specs):
        gr.Markdown(context.words.static("live-absent"), elem_classes=["hint"])

    def changed(turn: Event) -> None:  # a turn may have loaded the model
        card.follow(turn)
        context.parameters.follow(turn, card)

    with gr.Tabs(elem_id="tabs"):
        for spec in specs:
            tab = build_tab(spec, context, changed)
            for asked in (tab.send.click, tab.text.submit):
                asked(card.begin_watch, None, card.watch, queue=False, **QUIET)
            built.append(tab)
            if spec.live is not None:
                build_live(tab, context, live, card.follow, camera=spec.live == "camera")
    engine = context.engine
    page.beside += [live.route(), *context.voice_lines.routes()]
    page.beside += [health_route(engine), news_route(engine)]
    return built


def _connect_language(
    page: Page, switch: gr.Radio, words: Words, card: ModelCard, voice: BuiltVoice, tabs: list[Tab]
) -> Event:
    """What the server has said in one language is said again in the other; after this event."""

    def current(request: gr.Request) -> str:
        return words.of(request)

    def labels(request: gr.Request) -> Changes:  # Gradio keeps those of tabs not yet seen
        language = words.of(request)
        return {
            tab.page: gr.update(label=words.say(language, f"tab-{tab.spec.name}")) for tab in tabs
        }

    page.load(current, None, switch, queue=False, **QUIET)
    chosen = switch.input(None, switch, None, js=CHOOSE_JS, **QUIET)
    said_again = chosen.then(card.render_all, None, card.all, **QUIET)
    voice.translate(said_again)
    said_again.then(labels, None, [tab.page for tab in tabs], **QUIET)
    return said_again
