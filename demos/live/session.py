"""A live conversation: who speaks when, and what follows from it.

Knows: the states listening, hearing, thinking, speaking; when an answer is begun, released,
thrown away or interrupted; the chat that grows from it.
Does not know: how turns are found (demos.live.ear), connections (demos.live.route), components
(demos.live.panel).

Everything that happens (sound, frames, reports of the page, events of the engine) goes through one
queue and is handled by one thread, so there is nothing to lock. Answers are made in threads of
their own. An answer is begun at every pause and held back until the pause is long enough to be the
end of the turn; if the person goes on, it is thrown away.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from demos.base.languages import Words
from demos.live import wire
from demos.live.answers import Answer, Item, Question, Setup, files_of, work
from demos.live.ear import Ear
from demos.live.latency import Latency
from demos.live.sentences import Sentences
from demos.turns.chat import Bubble, bubble
from demos.turns.sessions import Session
from omni.conversation import Part
from omni.events import Progress
from omni.listening.settings import RATE, ListeningSettings
from omni.listening.turn_detection import Began, Ended, Paused, Resumed, TurnEvent
from omni.listening.voice_activity import SileroVoice, Voice

if TYPE_CHECKING:
    from omni.engine import Engine

log = logging.getLogger(__name__)

STOP_S = 2.0  # within which an engine that was told to stop does
SILENT_S = 10.0  # without a message of the page: it is gone; without sound: its microphone is
FLUSH_S = 1.0  # a page that does not say what was heard within so long has lost its sound

Send: TypeAlias = Callable[[wire.Down], None]


@dataclass(frozen=True)
class _Made:
    """An item of an answer."""

    answer: Answer
    item: Item


@dataclass(frozen=True)
class _Loading:
    """The model is being loaded; None: it is there."""

    item: Progress | Exception | None


class Live:
    """One live conversation. Public methods may be called from any thread."""

    def __init__(
        self,
        engine: Engine,
        session: Session,
        setup: Setup,
        words: Words,
        settings: ListeningSettings | None = None,
        voice: Callable[[], Voice] = SileroVoice,
    ) -> None:
        self.setup = setup
        self.settings = settings or ListeningSettings()
        self.thread = setup.thread
        self.state: wire.State = "preparing"
        self.status = ""
        self.started = False
        self.over: wire.EndReason | None = None
        self.version = 0  # grows whenever there is something new to show
        self.latencies: list[Latency] = []
        self._engine, self._session = engine, session
        self._sentences = Sentences(words, setup.language)
        self._make_voice = voice
        self._items: queue.SimpleQueue[wire.Up | _Made | _Loading] = queue.SimpleQueue()
        self._send: Send = lambda message: None
        self._answer: Answer | None = None
        self._due: Question | None = None  # asked, but the answer before is not closed yet
        self._paused: Paused | None = None  # for which no answer could be begun yet
        self._carried: tuple[Part, ...] = ()
        self._silenced_at = self._sound_at = 0.0
        self._numbers = 0
        self._shown: object = None
        self._ready = False
        self._ending = threading.Event()

    def start(self, send: Send) -> None:
        """Begin to listen; ``send`` gets what goes to the page, from any thread."""
        self._send = send
        self.started = True
        threading.Thread(target=self._listen, name="omni-live", daemon=True).start()

    def take(self, message: wire.Up) -> None:
        """A message of the page."""
        self._items.put(message)

    def end(self, reason: wire.EndReason) -> None:
        """Stop everything; what was said stays in the chat."""
        self._items.put(wire.Over(reason))

    def bubbles(self) -> list[Bubble]:
        """The chat with the turn that is under way."""
        shown = self.thread.bubbles()
        answer = self._answer
        if answer is None or not answer.released:
            return shown
        return shown + [bubble(e) for e in answer.growing(self.say("live-thinking"))]

    def say(self, key: str, **values: object) -> str:
        """A sentence in the person's language."""
        return self._sentences.say(key, **values)

    def _load(self) -> None:
        try:
            for progress in self._engine.load():
                self._items.put(_Loading(progress))
            # What the first question will follow is read before it is asked.
            said = self.thread.conversation(self.setup.system, self.setup.prompt_language)
            for progress in self._engine.prepare(said, self._ending, self.setup.key):
                self._items.put(_Loading(progress))
            self._items.put(_Loading(None))
        except Exception as error:  # becomes a sentence, see _loading
            self._items.put(_Loading(error))

    def _listen(self) -> None:
        """The session's thread."""
        try:
            self.ear = Ear(self._make_voice, self.settings, self.setup.camera)
            try:
                self._handle_all()
            finally:
                self.ear.close()
        except Exception:
            log.exception("a live session failed")
            self._over("failed")

    def _handle_all(self) -> None:
        """Whatever happens, until it is over."""
        threading.Thread(target=self._load, name="omni-live-load", daemon=True).start()
        self._sound_at = time.monotonic()
        while self.over is None:
            try:
                item = self._items.get(timeout=SILENT_S)
            except queue.Empty:
                item = wire.Over("lost")
            self._handle(item)
            if self.over is None and time.monotonic() - self._sound_at > SILENT_S:
                self._over("microphone")  # the page is there, its sound has stopped

    def _handle(self, item: wire.Up | _Made | _Loading) -> None:
        """One thing that happened."""
        if isinstance(item, wire.Sound):
            self._hear(item.samples)
        elif isinstance(item, _Made):
            self._made(item.answer, item.item)
        elif isinstance(item, wire.Heard):
            self._heard(item)
        elif isinstance(item, wire.Picture):
            self.ear.see(item.jpeg)
        elif isinstance(item, wire.Hello):
            self.ear.opened(item.rate)
        elif isinstance(item, wire.Ping):
            self._send({"type": "pong"})
        elif isinstance(item, _Loading):
            self._loading(item.item)
        else:
            self._over(item.reason)

    def _loading(self, item: Progress | Exception | None) -> None:
        if isinstance(item, Exception):
            self._note(self._sentences.error(item))
            self._over("failed")
            return
        if item is None:
            self._ready = True
            self.status = ""
        else:
            self.status = self._sentences.progress(item)
        self._show()

    # What is heard

    def _hear(self, samples: np.ndarray) -> None:
        self._sound_at = time.monotonic()
        if not self._ready:  # the page says so: what is said now would be answered much too late
            return
        for event in self.ear.hear(samples):
            self._turn(event)
        if self._paused is not None and self._may_begin():
            self._begin(self.ear.question(self._paused, self._carried))
        answer = self._answer
        if answer and answer.silenced and time.monotonic() - self._silenced_at > FLUSH_S:
            answer.flushed = True
            self._close_if_over()
        if self._answer is None:
            self.ear.rest()
        self._show()

    def _turn(self, event: TurnEvent) -> None:
        answer = self._answer
        self._paused = event if isinstance(event, Paused) else None
        if isinstance(event, Began) and answer and answer.released:
            self._interrupt(answer)
        elif isinstance(event, Resumed) and answer and not answer.released:
            if self.ear.keep_piece(answer):
                self._carried = answer.parts
            self._throw_away(answer)
        elif isinstance(event, Ended):
            question = self.ear.question(event, self._carried)
            if answer is None:
                self._begin(question)
                answer = self._answer
            assert answer is not None
            known = time.monotonic()
            answer.moments.known_end = known
            answer.moments.voice_end = known - (event.at - event.voice_end) / RATE
            if not answer.silenced:
                self._release(answer)
            else:  # the one before is still closing
                self._due = question
            self.ear.taken()

    def _may_begin(self) -> bool:
        """Whether an answer may be begun that is perhaps thrown away: nobody waits for it."""
        return self._answer is None and not self._engine.busy

    # Answers

    def _begin(self, question: Question) -> None:
        self._numbers += 1
        self._answer = answer = Answer(self._numbers, question)
        self._paused = None
        threading.Thread(
            target=work,
            args=(self._engine, self._session, self.setup, self.thread, answer, self._report),
            name="omni-live-answer",
            daemon=True,
        ).start()

    def _report(self, answer: Answer, item: Item) -> None:
        self._items.put(_Made(answer, item))

    def _throw_away(self, answer: Answer) -> None:
        """The person goes on: it was not the end."""
        answer.stop.set()
        self._answer = None
        self._forget(answer)

    def _forget(self, answer: Answer) -> None:
        """Remove the files of a thrown away answer, once nobody reads them any more."""
        if answer.made:
            kept = self._kept()
            self._session.forget([file for file in files_of(answer.parts) if file not in kept])

    def _release(self, answer: Answer) -> None:
        answer.released = True
        self._carried = ()
        self.ear.own_voice.clear()
        self._send_sound(answer)
        self._close_if_over()

    def _interrupt(self, answer: Answer) -> None:
        """The person speaks while the answer is made or heard."""
        answer.stop.set()
        answer.silenced = True
        self._silenced_at = time.monotonic()
        self._send({"type": "flush", "answer": answer.number})
        self._close_if_over()

    def _made(self, answer: Answer, item: Item) -> None:
        answer.take(item)
        if answer is not self._answer:
            self._forget(answer)
            return
        if answer.released and not answer.silenced:
            self._send_sound(answer)
        self._close_if_over()
        self._show()

    def _send_sound(self, answer: Answer) -> None:
        first = not answer.sent
        for samples in answer.unsent():
            self._send(wire.speech(answer.number, samples))
            self.ear.own_voice.sent(samples)
        if first and answer.sent:
            answer.moments.sent = time.monotonic()
            latency = Latency.of(answer.moments)
            self.latencies.append(latency)
            self.status = self.say("live-latency", seconds=latency.total_s)
        if answer.made:
            self._send({"type": "sent", "answer": answer.number})

    def _heard(self, report: wire.Heard) -> None:
        answer = self._answer
        if answer is None or report.answer != answer.number:
            return
        answer.heard = min(report.samples, answer.sent)
        answer.flushed |= report.flushed
        self.ear.own_voice.played(answer.heard)
        self._close_if_over()
        self._show()

    def _close_if_over(self) -> None:
        answer = self._answer
        if answer is None or not answer.released or not answer.over:
            return
        failed = answer.error is not None
        note = self._sentences.below(answer)
        entries = answer.entries(self._session, note, failed)
        if answer.silenced and not failed and entries[-1].failed:
            # Nothing had been heard: what the person says now belongs to the question.
            self._carried = answer.parts
        else:
            forgotten = answer.end.forgotten if answer.end else 0
            self.thread = self.thread.forget(forgotten).plus(*entries)
        if failed:
            self._note(note)
        self._answer = None
        due, self._due = self._due, None
        if due is not None:
            self._begin(Question(due.sound, due.frames, self._carried))
            if self._answer is not None:
                self._release(self._answer)
        self._show()

    def _kept(self) -> set[Path]:
        current = self._answer.parts if self._answer else ()
        return {*self.thread.files(), *files_of(self._carried), *files_of(current)}

    # What is shown

    def _note(self, sentence: str) -> None:
        self.status = sentence
        self._send({"type": "note", "text": sentence})

    def _show(self) -> None:
        """Tell the page the state, if it is a new one."""
        answer = self._answer
        playing = answer is not None and answer.sent > 0 and not answer.silenced
        self.ear.answering(playing)
        state: wire.State = "listening" if self._ready else "preparing"
        if answer is not None and answer.released and not answer.silenced:
            state = "speaking" if playing else "thinking"
        elif self.ear.hearing:
            state = "hearing"
        elif self._due is not None:
            state = "thinking"
        if state != self.state:
            self.state = state
            self._send({"type": "state", "state": state, "text": self.say(f"live-{state}")})
        shown = (state, self.status, self.thread, answer and (answer.text, answer.parts))
        if shown != self._shown:
            self._shown = shown
            self.version += 1

    def _over(self, reason: wire.EndReason) -> None:
        self._ending.set()
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.stop.set()
        if answer is not None and answer.released:
            answer.silenced = answer.silenced or not answer.over
            self._wait_for(answer)
            note = self.say("live-cut") if answer.silenced else ""
            self.thread = self.thread.plus(*answer.entries(self._session, note, failed=False))
        self._engine.forget(self.setup.key)
        self.over = reason
        self._send({"type": "bye", "reason": reason, "text": self.say(f"live-end-{reason}")})
        self.version += 1

    def _wait_for(self, answer: Answer) -> None:
        """Until the engine has ended the answer, which takes a step."""
        deadline = time.monotonic() + STOP_S
        while not answer.made and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                item = self._items.get(timeout=STOP_S)
                if isinstance(item, _Made) and item.answer is answer:
                    answer.take(item.item)
