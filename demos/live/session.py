"""A live session: threads, clock and connection around a conversation.

Knows: what the dialogue machine is told and how its commands are carried out; the chat that grows
from it. Does not know: when an answer is begun, released, thrown away or interrupted
(omni.dialogue.machine), how turns are found (omni.dialogue.turn_listener), connections
(demos.live.route), components (demos.live.panel).

Everything that happens (sound, frames, reports of the page, events of the engine) goes through one
queue and is handled by one thread, so there is nothing to lock. Answers are made in threads of
their own.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from demos.base.languages import Words
from demos.live import wire
from demos.live.answers import Setup, Work, entries, files_of, growing
from demos.live.captions import Captions
from demos.live.gate import MEDIA, Gate, size_of
from demos.live.inbox import Inbox
from demos.live.sentences import Sentences
from demos.turns import heard
from demos.turns.chat import Bubble, bubble
from demos.turns.sessions import Session
from omni.conversation import Part
from omni.dialogue import commands as do
from omni.dialogue import events as on
from omni.dialogue.answer_so_far import Item
from omni.dialogue.camera import CameraRing
from omni.dialogue.latency import Latency
from omni.dialogue.machine import step
from omni.dialogue.states import (
    AnswerState,
    ConversationState,
    Dialogue,
    EndReason,
    Limits,
)
from omni.dialogue.turn_listener import TurnListener
from omni.events import Progress
from omni.listening.settings import ListeningSettings
from omni.listening.voice_activity import SileroVoiceActivity, VoiceActivity

if TYPE_CHECKING:
    from omni.engine import Engine

log = logging.getLogger(__name__)

SILENT_S = 10.0  # without a message of the page: it is gone; without sound: its microphone is

Send: TypeAlias = Callable[[wire.Down], None]


@dataclass(frozen=True)
class _Made:
    """An item of the answer ``number``."""

    number: int
    item: Item


@dataclass(frozen=True)
class _Loading:
    """The model is being loaded; None: it is there."""

    item: Progress | Exception | None


@dataclass(frozen=True)
class _WrittenDown:
    """What the model heard in ``sound``, the question of the answer ``number``."""

    number: int
    sound: Path
    text: str


_Happened: TypeAlias = "wire.Up | _Made | _Loading | _WrittenDown"


class Live:
    """One live conversation. Public methods may be called from any thread."""

    def __init__(
        self,
        engine: Engine,
        session: Session,
        setup: Setup,
        words: Words,
        settings: ListeningSettings | None = None,
        voice: Callable[[], VoiceActivity] = SileroVoiceActivity,
    ) -> None:
        self.setup = setup
        self.settings = settings or ListeningSettings()
        self.thread = setup.thread
        self.dialogue = Dialogue()
        self.status = ""
        self.started = False
        self.over: EndReason | None = None
        self.version = 0  # grows whenever there is something new to show
        self.latencies: list[Latency] = []
        self._engine, self._session = engine, session
        self._sentences = Sentences(words, setup.language)
        self._make_voice = voice
        self._items: Inbox[_Happened] = Inbox()
        self._captions = Captions()
        self._heard: dict[Path, str] = {}  # by the question's sound; empty: not yet, or nothing
        self._gate = Gate(setup.camera)
        self._send: Send = lambda message: None
        self._stops: dict[int, threading.Event] = {}  # by answer
        self._shown: object = None
        self._ending = threading.Event()

    def start(self, send: Send) -> None:
        """Begin to listen; ``send`` gets what goes to the page, from any thread."""
        self._send = send
        self.started = True
        threading.Thread(target=self._run, name="omni-live", daemon=True).start()

    def take(self, message: wire.Up) -> None:
        """A message of the page; one that brings too much ends the session."""
        if isinstance(message, wire.Over):
            self.end(message.reason)
        elif not self._gate.fits(message, self._items.size, len(self._items)):
            self.end("flooded")
        elif self._gate.wanted(message, time.monotonic()) and self.over is None:
            if isinstance(message, wire.Ping):  # at once: the thread may be loading the detector
                self._send({"type": "pong"})
            self._items.put(message, size_of(message))

    def end(self, reason: EndReason) -> None:
        """Stop everything; what was said stays in the chat."""
        self._items.first(wire.Over(reason), lambda item: isinstance(item, MEDIA))

    @property
    def state(self) -> ConversationState:
        """Where the conversation is."""
        return self.dialogue.state

    def bubbles(self) -> list[Bubble]:
        """The chat with the turn that is under way."""
        shown = self.thread.bubbles()
        answer = self.dialogue.answer
        if answer is None or answer.state is AnswerState.HELD:
            return shown
        return shown + [bubble(e) for e in growing(answer.so_far, self.say("live-thinking"))]

    def say(self, key: str, **values: object) -> str:
        """A sentence in the person's language."""
        return self._sentences.say(key, **values)

    def _load(self) -> None:
        try:
            for progress in self._engine.load():
                self._items.put(_Loading(progress))
            # What the first question will follow is read before it is asked.
            said = self.thread.conversation(self.setup.system, self.setup.prompt_language)
            for progress in self._engine.prepare(
                said, self._ending, self.setup.key, self._session.asker
            ):
                self._items.put(_Loading(progress))
            self._items.put(_Loading(None))
        except Exception as error:  # becomes a sentence, see _loading
            self._items.put(_Loading(error))

    # The session's thread

    def _run(self) -> None:
        try:
            self._listener = TurnListener(self._make_voice, self.settings)
            camera = CameraRing() if self.setup.camera else None
            limits = Limits(sound_s=SILENT_S)
            self._gate.open()
            self.dialogue = Dialogue(camera=camera, sound_at=time.monotonic(), limits=limits)
            threading.Thread(target=self._load, name="omni-live-load", daemon=True).start()
            self._handle_all()
        except Exception:
            log.exception("a live session failed")
            self._fail()

    def _handle_all(self) -> None:
        """Whatever happens, until it is over."""
        while self.dialogue.state is not ConversationState.CLOSED:
            closing = self.dialogue.state is ConversationState.CLOSING
            wait_s = self.dialogue.limits.stop_s if closing else SILENT_S
            try:
                item = self._items.get(timeout=wait_s)
            except queue.Empty:
                item = wire.Over("lost")
            self._handle(item)

    def _fail(self) -> None:
        """Whatever went wrong: what was said stays, the page is told, the engine is freed."""
        try:
            self._step(on.End(time.monotonic(), "failed"))
            self._handle_all()
        except Exception:
            log.exception("a failed live session could not be closed")
        if self.over is None:
            self._goodbye(do.Goodbye("failed"))

    def _handle(self, item: _Happened) -> None:
        """One thing that happened."""
        now = time.monotonic()
        if isinstance(item, wire.Sound):
            self._hear(item.samples)
        elif isinstance(item, _Made):
            self._captions.add(item.number, item.item)
            self._step(on.AnswerItem(now, item.number, item.item))
        elif isinstance(item, wire.PlaybackReport):
            self._step(on.PlaybackReport(now, item.answer, item.samples, item.flushed))
        elif isinstance(item, wire.Picture):
            self._step(on.Pictured(now, item.jpeg, self._listener.position))
        elif isinstance(item, wire.Sensitivity):
            self._listener.change(item.settings)
            self._step(on.Tick(now))
        elif isinstance(item, wire.Over):
            self._step(on.End(now, item.reason))
        elif isinstance(item, _Loading):
            self._loading(item.item)
        elif isinstance(item, _WrittenDown):
            self._heard[item.sound] = item.text
            self._send({"type": "heard", "answer": item.number, "text": item.text})
            self._show_heard()
        else:
            if isinstance(item, wire.Hello):
                self._listener.opened(item.rate)
            self._step(on.Tick(now))
        self._show()

    def _loading(self, item: Progress | Exception | None) -> None:
        now = time.monotonic()
        if isinstance(item, Exception):
            self._step(on.LoadFailed(now, item))
        elif item is None:
            self.status = ""
            self._step(on.Loaded(now))
        else:
            self.status = self._sentences.progress(item)
            self._step(on.Tick(now))

    def _hear(self, samples: np.ndarray) -> None:
        listener = self._listener
        if self.dialogue.state not in (ConversationState.PREPARING, ConversationState.CLOSING):
            for turn in listener.hear(samples):
                self._step(on.Verdict(time.monotonic(), turn))
        free = not self._engine.busy
        self._step(on.Listened(time.monotonic(), listener.position, listener.quiet, free))

    def _step(self, event: on.Event) -> None:
        """Tell the machine, and do what it asks for."""
        self.dialogue, commands = step(self.dialogue, event)
        if self.dialogue.ending is not None:
            self._ending.set()
        for caption in self._captions.due(self.dialogue.answer):
            self._send(caption)
        for command in commands:
            self._carry_out(command)
        if self.over is None:
            self._listener.answering(self.dialogue.answer_state is AnswerState.PLAYING)

    # What the machine asks for

    def _carry_out(self, command: do.Command) -> None:
        match command:
            case do.BeginAnswer():
                self._begin(command)
            case do.StopAnswer() | do.ThrowAway():
                self._stops[command.number].set()
            case do.Release():
                self._listener.echo_guard.clear()
            case do.SendSound():
                self._send(wire.speech(command.number, command.samples))
                self._listener.echo_guard.sent(command.samples)
            case do.AllSent():
                self._send({"type": "sent", "answer": command.number})
                if self.dialogue.answer is not None:
                    self._write_down(command.number, self.dialogue.answer.so_far.question)
            case do.Flush():
                self._send({"type": "flush", "answer": command.number})
            case do.FollowPlayback():
                self._listener.echo_guard.played(command.samples)
            case do.ForgetFiles():
                kept = set(self.thread.files())
                files = files_of(command.parts)
                self._session.forget([file for file in files if file not in kept])
            case do.CloseAnswer():
                self._close(command)
            case do.TellLatency():
                self.latencies.append(command.latency)
                self.status = self.say("live-latency", seconds=command.latency.total_s)
            case do.TellError():
                self._note(self._sentences.error(command.error))
            case do.ShowState():
                text = self.say(f"live-{command.state}")
                self._send({"type": "state", "state": command.state.value, "text": text})
            case do.Goodbye():
                self._goodbye(command)

    def _begin(self, command: do.BeginAnswer) -> None:
        stop = self._stops[command.number] = threading.Event()
        work = Work(self._engine, self._session, self.setup, self.thread, stop)
        report = partial(self._report, command.number)
        threading.Thread(
            target=work.make, args=(command.question, report), name="omni-live-answer", daemon=True
        ).start()

    def _report(self, number: int, item: Item) -> None:
        self._items.put(_Made(number, item))

    def _close(self, command: do.CloseAnswer) -> None:
        exchange = command.exchange
        note = self._sentences.below(exchange)
        pair = entries(exchange, self._session, note, self._sentences.error)
        self.thread = self.thread.forget(exchange.forgotten).plus(*pair)
        if exchange.answered:
            self._write_down(command.number, exchange.question)
        self._show_heard()
        if exchange.error is not None:
            self._note(note)

    # What the model heard of a question: behind all that anybody waits for

    def _write_down(self, number: int, question: tuple[Part, ...]) -> None:
        """Once for every sound, as soon as its answer is made."""
        sound = heard.asked_by(question)
        wanted = self.setup.write_down and heard.can_hear(self._engine)
        if sound is None or sound in self._heard or not wanted:
            return
        self._heard[sound] = ""

        def done(result: Future[str]) -> None:
            if text := result.result():
                self._items.put(_WrittenDown(number, sound, text))

        begun = heard.begin(self._engine, sound, self._gone)
        begun.add_done_callback(done)

    def _gone(self) -> bool:
        return self.over is not None or self._session.ended

    def _show_heard(self) -> None:
        """Put what was heard below the questions that are in the chat."""
        for sound, text in self._heard.items():
            if text:
                told = heard.sentence(self._sentences.words, self.setup.language, text)
                self.thread = self.thread.hear(sound, text, told)

    def _goodbye(self, command: do.Goodbye) -> None:
        self._ending.set()
        for stop in self._stops.values():
            stop.set()
        self._engine.forget(self.setup.key)
        text = self.say(f"live-end-{command.reason}")
        self.over = command.reason
        self._send({"type": "bye", "reason": command.reason, "text": text})
        self.version += 1

    def _note(self, sentence: str) -> None:
        self.status = sentence
        self._send({"type": "note", "text": sentence})

    def _show(self) -> None:
        """Count up where there is something new to show."""
        answer = self.dialogue.answer
        said = answer and (answer.so_far.text, answer.so_far.question)
        shown = (self.dialogue.state, self.status, self.thread, said)
        if shown != self._shown:
            self._shown = shown
            self.version += 1
