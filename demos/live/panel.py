"""Talk in a tab: its button, and what the page and the server say to each other about it.

Knows: its components and events, how a live session reaches the tab's chat.
Does not know: how a live session works (demos.live.session), the browser's side
(assets/scripts/live), which makes everything else that is seen of it.
"""

from __future__ import annotations

import asyncio
import html
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from demos.base.browser_values import Changes, Values
from demos.base.gradio_internals import in_browser_order
from demos.base.word_files import PageLanguage
from demos.live.answers import Setup
from demos.live.route import MAX_LIVE, LiveDesk
from demos.live.session import Live
from demos.live.thresholds import THRESHOLDS, Threshold, for_page, settings_of
from demos.tabs.hearing import Hearing
from demos.tabs.spec import Tab, TabContext
from demos.turns.sessions import Session, TurnBusy
from demos.turns.turn import OVER_S

if TYPE_CHECKING:
    from demos.turns.sessions import Session

REFUSED_AT_ONCE = 16  # who comes when all places are taken hears so, and does not wait
POLL_S = 0.1
TALK = "talk"  # what keeps other turns of the tab waiting
ENDING_S = 4.0  # for Talk to end: its engine has to end a step, its connection to say goodbye
READY = "ready"  # what the browser says when microphone and sound are open
BUSY = "busy"  # ... when it has told the person itself that another turn of the tab is running
REFUSALS = ("insecure", "refused", "no-device", "device-busy", "no-sound", "old-browser")


@dataclass(frozen=True, eq=False)
class LivePanel:
    """The panel's components and its handler."""

    tab: Tab
    shared: TabContext
    desk: LiveDesk
    camera: bool
    start: gr.Button
    # What page and server tell each other, which nobody sees:
    wish: gr.Textbox  # written by the browser: READY, or what is wrong
    ticket: gr.Textbox  # written by the server: the connection's ticket, or why there is none
    stop: gr.Button  # pressed by the browser
    thresholds: Mapping[Threshold, gr.Number]  # written by the browser, which keeps them

    @property
    def inputs(self) -> list[Block]:
        """What Talk sends. The browser writes the wish and the thresholds, which stand first."""
        shared = self.shared
        choices = shared.parameters.inputs | shared.voice.inputs
        settings = in_browser_order(choices | {shared.parameters.write_down})
        return [self.wish, *self.thresholds.values(), self.tab.thread, *settings]

    @property
    def outputs(self) -> list[Component]:
        """What a live session may change."""
        tab = self.tab
        return [tab.chat, tab.thread, tab.status, self.ticket]

    async def run(self, request: gr.Request, *given: Any) -> AsyncIterator[Changes]:
        """Live from Start to its end."""
        values: Values = dict(zip(self.inputs, given, strict=True))
        words = self.shared.words
        language = words.of(request)
        wish = values[self.wish]
        if wish == BUSY:
            yield self._nothing()
            return
        if wish != READY:
            sentence = words.say(language, f"live-{wish if wish in REFUSALS else 'no-sound'}")
            yield {self.tab.status: sentence}
            return
        session = self.shared.sessions.of(request)
        try:
            await self._until_over(session)
            turn = session.turn(self.tab.spec.name, by=TALK)
            with turn as stop, self.desk.seat(session.address) as free:
                if not free:
                    sentence = words.say(language, "live-full", count=MAX_LIVE)
                    gr.Warning(sentence)
                    yield {self.tab.status: sentence, self.ticket: refused(sentence)}
                    return
                live = self._live(session, language, values)
                async for changes in self._follow(live, stop, request.headers.get("origin")):
                    yield changes
        except TurnBusy:  # the status is the other turn's: the page tells it (see assets/scripts)
            gr.Warning(words.say(language, "live-busy"))
            yield self._nothing()

    async def _until_over(self, session: Session) -> None:
        """Wait a little for a turn, or Talk itself, that the page has seen the end of."""
        deadline = time.monotonic() + (
            ENDING_S if session.runs(self.tab.spec.name) == TALK else OVER_S
        )
        while session.running(self.tab.spec.name) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    def end(self, request: gr.Request) -> None:
        """Stop."""
        self.shared.sessions.of(request).stop(self.tab.spec.name)

    def _live(self, session: Session, language: PageLanguage, values: Values) -> Live:
        """A live session with what stands in the panels."""
        shared = self.shared
        setup = Setup(
            thread=values[self.tab.thread],
            system=shared.voice.chosen(values).system_prompt(),
            language=language,
            prompt_language=shared.words.prompt_language(language),
            change=shared.parameters.change(values),
            write_down=bool(values[shared.parameters.write_down]),
            camera=self.camera,
        )
        given = {one: values[number] for one, number in self.thresholds.items()}
        return Live(shared.engine, session, setup, shared.words, settings_of(given))

    async def _follow(
        self, live: Live, stop: threading.Event, origin: str | None
    ) -> AsyncIterator[Changes]:
        """What the page shows of ``live``, until it is over."""
        ticket = self.desk.ticket(live, origin)
        sentences = {"lost": live.say("live-end-lost"), "unreached": live.say("live-unreached")}
        offer = json.dumps({"ticket": ticket, **sentences})
        status = live.say("live-preparing")
        yield {self.ticket: offer, self.tab.status: status}
        shown = -1
        try:
            while live.over is None:
                await asyncio.sleep(POLL_S)
                if stop.is_set():
                    live.end("stopped")
                    if self.desk.claim(ticket) is not None:
                        break
                elif live.version == 0 and self._unreached(live, ticket):
                    gr.Warning(live.say("live-unreached"))
                    break
                if live.version != shown and live.over is None:
                    shown = live.version
                    yield {**self._chat(live), self.tab.status: live.status}
        finally:  # also when the page was closed
            self.desk.over(ticket)
            live.end("left")
        sentence = live.status if live.over == "failed" and live.status else ""
        sentence = sentence or live.say(f"live-end-{live.over or 'stopped'}")
        yield {**self._chat(live), self.tab.status: sentence, self.ticket: ""}

    def _unreached(self, live: Live, ticket: str) -> bool:
        return not live.started and not self.desk.waiting(ticket)

    def _chat(self, live: Live) -> Changes:
        return {self.tab.chat: live.bubbles(), self.tab.thread: live.thread}

    def _nothing(self) -> Changes:
        """Everything stays as it is; an event has to say something."""
        return {self.tab.status: gr.skip()}


def refused(sentence: str) -> str:
    """For the page, in place of a ticket; no two are the same, or the second would be no news."""
    return json.dumps({"refused": sentence, "at": time.monotonic_ns()})


def build_live(
    tab: Tab, shared: TabContext, desk: LiveDesk, changed: Callable[[Any], Any], camera: bool
) -> LivePanel:
    """Lay the Talk button out and connect it; the rest is made by the page."""
    panel = _layout(tab, shared, desk, camera)
    name = tab.spec.name
    switch = "true" if camera else "false"
    running = panel.start.click(
        panel.run,
        panel.inputs,
        panel.outputs,
        js=f"(...values) => omniLive.open('{name}', {switch}, values)",
        show_progress="hidden",
        trigger_mode="multiple",  # the page itself sees to it that one follows the other
        concurrency_limit=MAX_LIVE + REFUSED_AT_ONCE,
        concurrency_id="live",
        api_name=f"{name}_live",
        api_visibility="private",
    )
    running.then(None, None, None, js=f"() => {{ omniLive.settle('{name}'); }}")
    changed(running)
    Hearing(tab, shared).connect(running)  # the last question, for which no time was left
    panel.ticket.change(
        None, [panel.ticket], None, js=f"(ticket) => {{ omniLive.connect('{name}', ticket); }}"
    )
    panel.stop.click(
        panel.end,
        None,
        None,
        queue=False,
        show_progress="hidden",
        api_name=f"{name}_live_stop",
        api_visibility="private",
    )
    return panel


def _layout(tab: Tab, shared: TabContext, desk: LiveDesk, camera: bool) -> LivePanel:
    name, words = tab.spec.name, shared.words
    with tab.composer:
        start = gr.Button(
            words.static("talk"),
            size="sm",
            min_width=0,
            elem_id=f"{name}-live-start",
            elem_classes=["icon-tool", "icon-talk"],
        )
    with tab.welcome, gr.Row(elem_classes=["talk-row"]):
        hero = gr.Button(
            words.static("talk"),
            variant="primary",
            min_width=0,
            elem_id=f"{name}-live-hero",
            elem_classes=["talk-hero"],
        )
        ready = gr.Button(
            words.static("talk-settings"),
            size="sm",
            min_width=0,
            elem_id=f"{name}-live-settings",
            elem_classes=["icon-tool", "icon-settings"],
        )
    for button, done in ((hero, "press"), (ready, "tryOut")):
        js = f"() => {{ omniLive.{done}('{name}'); }}"
        button.click(None, None, None, js=js, api_visibility="private")
    with tab.composer, gr.Column(elem_classes=["bridge"]):
        stop = gr.Button(elem_id=f"{name}-live-stop")
        thresholds = {
            one: gr.Number(one.usual, elem_id=f"{name}-live-{one.field}") for one in THRESHOLDS
        }
        wish = gr.Textbox(elem_id=f"{name}-live-wish")
        ticket = gr.Textbox(elem_id=f"{name}-live-ticket")
        gr.HTML(f'<i data-talk-offer="{html.escape(for_page())}"></i>')
    return LivePanel(tab, shared, desk, camera, start, wish, ticket, stop, thresholds)
