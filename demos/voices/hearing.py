"""Hear this voice: a short sentence in the voice and style that the panel shows.

Knows: its components, what they show, how the sentence is spoken. Does not know: what the panel's
choices mean (demos.voices.panel), how sound reaches the page (demos.playback).

The chat knows nothing of it: it is a turn of its own, in a thread that is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

import gradio as gr

from demos.base.browser_values import Changes, Values, place_of
from demos.base.events import QUIET
from demos.base.languages import Words
from demos.playback.player import VOICE_LINE, chunk
from demos.playback.voice_line import VoiceDesk
from demos.turns.chat import Thread
from demos.turns.sessions import Sessions
from demos.turns.turn import Ask, run_turn
from demos.voices.hearing_parts import TASK, HearParts
from demos.voices.notes import note, refusal
from demos.voices.panel import VoicePanel
from omni.conversation import Part, SystemPrompt, Text

if TYPE_CHECKING:
    from omni.engine import Engine

SENTENCE = "hear-sentence"  # the word that is spoken
AT_ONCE = 8  # of them, over all visitors: each waits in the engine's line


@dataclass(frozen=True, eq=False)
class Hearing:
    """The event handlers."""

    parts: HearParts
    panel: VoicePanel
    engine: Engine
    sessions: Sessions
    words: Words
    lines: VoiceDesk

    def connect(self) -> None:
        """Have the buttons do what they say."""
        parts = self.parts
        given = {*self.panel.inputs, parts.support}
        place = place_of(parts.support, given)
        js = f"(...values) => omniSpeech.listen('{TASK}', values, {place}, '{VOICE_LINE}')"
        for button, handler in ((parts.hear, self.hear), (parts.load, self.load_and_hear)):
            button.click(
                handler,
                given,
                parts.changed,
                js=js,
                concurrency_limit=AT_ONCE,
                concurrency_id="hear",
                **QUIET,
            )

    def hear(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        """Speak the sentence; where no model is loaded, offer to load it."""
        if self.engine.report is None and self.engine.state != "loading":
            offer = self.words.say(self.words.of(request), "hear-offer")
            yield {self.parts.told: note(offer), self.parts.load: gr.update(visible=True)}
            return
        yield from self.load_and_hear(request, values)

    def load_and_hear(self, request: gr.Request, values: Values) -> Iterator[Changes]:
        """Speak the sentence; a model is loaded for it if need be."""
        parts, session, language = self.parts, self.sessions.of(request), self.words.of(request)
        session.stop(TASK)  # whoever asks again wants to hear what the panel shows now
        voice = self.panel.chosen(values)
        text = Text(self.words.say(language, SENTENCE))

        def prepare(_: Event) -> tuple[tuple[Part, ...], SystemPrompt]:
            return (text,), voice.system_prompt()

        ask = Ask(prepare, True, language, task="read")
        wanted = values[parts.support] == VOICE_LINE
        with self.lines.line(wanted, request.headers.get("origin")) as line:
            first: Changes = {
                parts.ticket: line.ticket if line else "",
                parts.load: gr.update(visible=False),
            }
            for view in run_turn(self.engine, session, TASK, Thread(), ask, self.words, line):
                over = view.thread is not None
                told = refusal(view.notice) if view.notice else note("" if over else view.status)
                yield {**first, parts.told: told, parts.player: chunk(view.sound)}
                first = {}
                if view.thread is not None:
                    session.forget(view.thread.files())
