"""The Live panel of a tab: Start, Stop, state, level, thresholds.

Knows: its components and events, how a live session reaches the tab's chat.
Does not know: how a live session works (demos.live.session), the browser's side
(assets/scripts/live).
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
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
from demos.tabs.spec import Tab, TabContext
from demos.turns.sessions import Session, TurnBusy
from demos.turns.turn import OVER_S
from omni.listening.settings import ListeningSettings

if TYPE_CHECKING:
    from demos.turns.sessions import Session

REFUSED_AT_ONCE = 16  # who comes when all places are taken hears so, and does not wait
POLL_S = 0.1
READY = "ready"  # what the browser says when microphone and sound are open
BUSY = "busy"  # ... when it has told the person itself that another turn of the tab is running
REFUSALS = ("insecure", "refused", "no-device", "device-busy", "no-sound", "old-browser")


@dataclass(frozen=True)
class Threshold:
    """One slider of the folded panel."""

    field: str  # of ListeningSettings
    words: str  # the key of its label
    least: float
    most: float
    step: float


THRESHOLDS = (
    Threshold("end_s", "live-end", 0.3, 2.0, 0.05),
    Threshold("begin_probability", "live-begin-probability", 0.2, 0.95, 0.05),
    Threshold("begin_s", "live-begin", 0.06, 0.6, 0.02),
    Threshold("barge_probability", "live-barge", 0.3, 0.95, 0.05),
)


def settings_of(values: Mapping[Threshold, float | None]) -> ListeningSettings:
    """The sliders' values as settings; one that was emptied keeps its default."""
    given = {
        threshold.field: min(max(float(value), threshold.least), threshold.most)
        for threshold, value in values.items()
        if value is not None
    }
    settings = replace(ListeningSettings(), **given)
    begin = min(settings.begin_probability, settings.barge_probability)
    return replace(settings, keep_probability=min(settings.keep_probability, 0.7 * begin))


@dataclass(frozen=True, eq=False)
class LivePanel:
    """The panel's components and its handler."""

    tab: Tab
    shared: TabContext
    desk: LiveDesk
    camera: bool
    wish: gr.Textbox  # written by the browser: READY, or what is wrong
    ticket: gr.Textbox  # written by the server
    start: gr.Button
    stop: gr.Button
    sliders: Mapping[Threshold, gr.Slider]

    @property
    def inputs(self) -> list[Block]:
        """What Start sends. The browser writes the wish, which stands first for it."""
        shared = self.shared
        settings = in_browser_order(shared.parameters.inputs | shared.voice.inputs)
        return [self.wish, self.tab.thread, *self.sliders.values(), *settings]

    @property
    def outputs(self) -> list[Component]:
        """What a live session may change."""
        tab = self.tab
        return [tab.chat, tab.thread, tab.status, tab.send, self.start, self.stop, self.ticket]

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
            gr.Warning(sentence)
            yield {self.tab.status: sentence}
            return
        session = self.shared.sessions.of(request)
        try:
            await self._until_over(session)
            with session.turn(self.tab.spec.name) as stop, self.desk.seat(session.address) as free:
                if not free:
                    sentence = words.say(language, "live-full", count=MAX_LIVE)
                    gr.Warning(sentence)
                    yield {self.tab.status: sentence}
                    return
                live = self._live(session, language, values)
                async for changes in self._follow(live, stop, request.headers.get("origin")):
                    yield changes
        except TurnBusy:  # the status is the other turn's: the page tells it (see assets/scripts)
            gr.Warning(words.say(language, "live-busy"))
            yield self._nothing()

    async def _until_over(self, session: Session) -> None:
        """Wait a little for a turn, or Live itself, that the page has seen the end of."""
        deadline = time.monotonic() + OVER_S
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
            camera=self.camera,
        )
        settings = settings_of({one: values[slider] for one, slider in self.sliders.items()})
        return Live(shared.engine, session, setup, shared.words, settings)

    async def _follow(
        self, live: Live, stop: threading.Event, origin: str | None
    ) -> AsyncIterator[Changes]:
        """What the page shows of ``live``, until it is over."""
        ticket = self.desk.ticket(live, origin)
        sentences = {"lost": live.say("live-end-lost"), "unreached": live.say("live-unreached")}
        offer = json.dumps({"ticket": ticket, **sentences})
        status = live.say("live-preparing")
        yield {self.ticket: offer, self.tab.status: status, **self._buttons(on=True)}
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
        over = {self.tab.status: sentence, self.ticket: "", **self._buttons(on=False)}
        yield {**self._chat(live), **over}

    def _unreached(self, live: Live, ticket: str) -> bool:
        return not live.started and not self.desk.waiting(ticket)

    def _chat(self, live: Live) -> Changes:
        return {self.tab.chat: live.bubbles(), self.tab.thread: live.thread}

    def _buttons(self, on: bool) -> Changes:
        """Send and Start wait while Live is ``on``."""
        waiting = gr.update(interactive=not on)
        return {self.tab.send: waiting, self.start: waiting, self.stop: gr.update(interactive=on)}

    def _nothing(self) -> Changes:
        """Everything stays as it is; an event has to say something."""
        return {self.tab.status: gr.skip()}


def build_live(
    tab: Tab, shared: TabContext, desk: LiveDesk, changed: Callable[[Any], Any], camera: bool
) -> LivePanel:
    """Lay the panel out below the tab's inputs and connect it."""
    with tab.media_column:
        panel = _layout(tab, shared, desk, camera)
    name = tab.spec.name
    switch = "true" if camera else "false"
    running = panel.start.click(
        panel.run,
        panel.inputs,
        panel.outputs,
        js=f"(...values) => omniLive.open('{name}', {switch}, values)",
        show_progress="hidden",
        concurrency_limit=MAX_LIVE + REFUSED_AT_ONCE,
        concurrency_id="live",
        api_name=f"{name}_live",
        api_visibility="private",
    )
    running.then(None, None, None, js=f"() => {{ omniLive.settle('{name}'); }}")
    changed(running)
    panel.ticket.change(
        None, [panel.ticket], None, js=f"(ticket) => {{ omniLive.connect('{name}', ticket); }}"
    )
    panel.stop.click(
        panel.end,
        None,
        None,
        js=f"() => {{ omniLive.stop('{name}'); }}",
        queue=False,
        show_progress="hidden",
        api_name=f"{name}_live_stop",
        api_visibility="private",
    )
    return panel


def _layout(tab: Tab, shared: TabContext, desk: LiveDesk, camera: bool) -> LivePanel:
    name, words = tab.spec.name, shared.words
    with gr.Accordion(words.static("live"), open=True, elem_id=f"{name}-live-panel"):
        help_key = "live-help-camera" if camera else "live-help"
        gr.Markdown(words.static(help_key), elem_classes=["hint"])
        video = "<video muted playsinline></video>" if camera else ""
        gr.HTML(
            '<div class="live" data-state="off" role="status"><span class="live-dot"></span>'
            '<span class="live-state"></span><span class="live-level"></span>'
            f'<span class="live-note"></span>{video}</div>',
            elem_id=f"{name}-live",
        )
        with gr.Row(elem_classes=["buttons"]):
            start = gr.Button(
                words.static("live-start"), variant="primary", elem_id=f"{name}-live-start"
            )
            stop = gr.Button(
                words.static("live-stop"),
                variant="stop",
                interactive=False,
                elem_id=f"{name}-live-stop",
            )
            if camera:
                flip = gr.Button(words.static("live-flip"), elem_id=f"{name}-live-flip")
                flip.click(None, None, None, js=f"() => {{ omniLive.flip('{name}'); }}")
        with gr.Accordion(words.static("live-thresholds"), open=False):
            sliders = {threshold: _slider(threshold, shared) for threshold in THRESHOLDS}
        # For the page, which has it ready in the person's language.
        gr.Markdown(words.static("live-busy"), visible="hidden", elem_id=f"{name}-live-busy")
        wish = gr.Textbox(visible="hidden", elem_id=f"{name}-live-wish")
        ticket = gr.Textbox(visible="hidden", elem_id=f"{name}-live-ticket")
    return LivePanel(tab, shared, desk, camera, wish, ticket, start, stop, sliders)


def _slider(threshold: Threshold, shared: TabContext) -> gr.Slider:
    return gr.Slider(
        threshold.least,
        threshold.most,
        getattr(ListeningSettings(), threshold.field),
        step=threshold.step,
        label=shared.words.static(threshold.words),
    )
