"""What the model heard of a spoken question, shown below it once the answer is there.

Knows: the events after a turn, the switch. Does not know: how it is written down
(demos.turns.heard), how a turn runs.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

import gradio as gr

from demos.base.browser_values import Changes, Values
from demos.base.events import QUIET, Event
from demos.tabs.spec import Tab, TabContext
from demos.turns import heard
from demos.turns.chat import Entry, Thread
from demos.turns.sessions import Session


@dataclass(frozen=True, eq=False)
class Hearing:
    """The handlers of one tab. ``said``: what was heard, by each session's files."""

    tab: Tab
    context: TabContext
    said: WeakKeyDictionary[Session, dict[Path, str]] = field(default_factory=WeakKeyDictionary)

    def connect(self, turn: Event) -> None:
        """Have the question of ``turn`` written down when it is over, if the person wants that.

        In two steps: as long as the first one waits, nothing of the page is its output. Both are
        queued: just such answers tell the page that the chat has changed, and is to be kept.
        """
        tab, wanted = self.tab, self.context.parameters.write_down
        heard = turn.then(self.hear, {tab.thread, wanted}, None, concurrency_limit=None, **QUIET)
        heard.then(self.show, tab.thread, [tab.chat, tab.thread], **QUIET)

    async def hear(self, request: gr.Request, values: Values) -> None:
        """Wait until the last question is written down, or is not to be any more."""
        asked = _last_question(values[self.tab.thread])
        sound = heard.sound_of(asked) if asked else None
        engine, session = self.context.engine, self.context.sessions.of(request)
        wanted = values[self.context.parameters.write_down] and heard.can_hear(engine)
        if sound is None or not wanted or sound in self.said.get(session, {}):
            return

        def gone() -> bool:
            return session.ended or session.running(self.tab.spec.name) or not sound.exists()

        text = await asyncio.wrap_future(heard.begin(engine, sound, gone))
        if text:
            self.said.setdefault(session, {})[sound] = text

    def show(self, request: gr.Request, thread: Thread) -> Changes:
        """Put what was heard below the question, unless the next one is asked already."""
        tab, session = self.tab, self.context.sessions.of(request)
        asked = _last_question(thread)
        sound = heard.sound_of(asked) if asked else None
        text = self.said.get(session, {}).get(sound) if sound else None
        if sound is None or text is None or session.running(tab.spec.name):
            return {tab.thread: gr.skip()}
        words = self.context.words
        now = thread.hear(sound, text, heard.sentence(words, words.of(request), text))
        return {tab.chat: now.bubbles(), tab.thread: now}


def _last_question(thread: Thread) -> Entry | None:
    asked = [entry for entry in thread.entries[-2:] if entry.message.role == "user"]
    return asked[-1] if asked else None
