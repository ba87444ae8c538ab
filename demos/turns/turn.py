"""One turn: what a person gave goes to the engine, what comes back goes to the screen.

Knows: the engine's events, threads of chats, errors, the pace at which a screen is renewed.
Does not know: Gradio, components, which tab it serves.

The engine runs in a thread of its own, so that a slow browser or a busy page never slows the
model, and a closed page ends the turn.
"""

from __future__ import annotations

import html
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from demos.base.languages import Words
from demos.base.word_files import PageLanguage
from demos.turns.chat import Bubble, Entry, Task, Thread, bubble
from demos.turns.figures import stats_sentence
from demos.turns.sessions import Session, TurnBusy
from omni.conversation import DEFAULT_SYSTEM_TEXT, Audio, Message, Part, SystemPrompt, Text
from omni.dialogue.answer_so_far import AnswerSoFar, Item, Prepared
from omni.errors import OmniError
from omni.events import (
    SPEECH_RATE,
    EngineEvent,
    Progress,
    SpeechChunk,
    TextDelta,
    TurnEnd,
    TurnStats,
)
from omni.fair_queue import Asker
from omni.loading.progress.sentence import sentence
from omni.media.limits import DecodingStopped
from omni.media.wav import write_wav
from omni.options import READING, TRANSCRIBING, GenerationOptions
from omni.requests import ReadLine

if TYPE_CHECKING:
    from demos.playback.voice_line import VoiceLine
    from omni.engine import Engine

log = logging.getLogger(__name__)

REDRAW_S = 0.06  # text is collected for so long
# Gradio's player looks for more sound once a second, or as seldom as the longest piece is long. So
# that no hole follows the first chunk, it waits until this much is there, but not for long; later
# sound never waits. Pieces stay shorter than a second.
FIRST_SOUND_S = 1.2  # of sound
FIRST_WAIT_S = 0.4
PIECE_S = 0.8
ANSWER_NAME = "answer.wav"
OVER_S = 1.0  # a turn whose end the page has seen is over within this


Prepare: TypeAlias = Callable[[threading.Event], tuple[tuple[Part, ...], SystemPrompt]]


def unchanged(options: GenerationOptions) -> GenerationOptions:
    """The checkpoint's own options."""
    return options


@dataclass(frozen=True)
class Ask:
    """What a person gave for one turn."""

    # Makes the message's parts and the system prompt; it may read files, and ends with
    # DecodingStopped when the signal is set.
    prepare: Prepare
    speech: bool  # whether the answer is to be spoken
    language: PageLanguage  # of the page's sentences
    text: str = ""  # given back to the text box if the turn fails
    parts: tuple[Part, ...] = ()  # shown until ``prepare`` is done, if known before
    change: Callable[[GenerationOptions], GenerationOptions] = unchanged  # of the model's own
    task: Task = "chat"
    adapter: str | None = None  # which of the loaded ones answers; None: the one that is chosen
    # Makes the lines of a reading with several voices; None: all of it is read in one voice.
    lines: Callable[[], tuple[ReadLine, ...]] | None = None
    anew: bool = False  # whether a conversation begins with it
    names: str = ""  # of the files that ``prepare`` reads: they stand for the question until then

    def options(self, own: GenerationOptions) -> GenerationOptions:
        """The options of the turn, from the checkpoint's ``own``."""
        return replace(self.change(own), speech=self.speech)


@dataclass(frozen=True, eq=False)
class View:
    """What the screen shows after a step."""

    bubbles: list[Bubble]  # the whole chat
    status: str  # the line below it, HTML
    sound: np.ndarray | None = None  # new samples to play: int16 (samples,) at SPEECH_RATE
    thread: Thread | None = None  # the new chat; None while the turn runs
    notice: str | None = None  # a sentence to point at
    text: str | None = None  # what the text box should hold; None: leave it
    said: str = ""  # the answer's text so far
    end: TurnEnd | None = None  # of a turn that went well


@dataclass
class _Turn:
    """What has come so far."""

    ask: Ask
    words: Words
    thread: Thread
    key: str  # under which the engine keeps what the chat's next turn can use
    owner: Asker  # whose place it takes in the line
    line: VoiceLine | None = None
    so_far: AnswerSoFar = field(default_factory=AnswerSoFar)
    unplayed: list[np.ndarray] = field(default_factory=list)  # sound that no view has brought yet
    status: str = ""

    def take(self, item: Item) -> None:
        """Note what one item brings, and what the status says of it."""
        self.so_far = self.so_far.plus(item)
        if isinstance(item, SpeechChunk):
            self.unplayed.append(item.samples)
        if isinstance(item, (TextDelta, SpeechChunk)):
            self.status = self.say("answering")
        elif isinstance(item, Progress):
            self.status = progress_sentence(self.words, self.ask.language, item)

    def view(self) -> View:
        """The screen while the turn runs."""
        said = self.so_far.text
        answer = Entry(Message("assistant", (Text(said),)), note="" if said else self.status)
        bubbles = [*self.thread.bubbles(), bubble(self.question()), bubble(answer)]
        return View(bubbles, self.status, sound=self.new_sound(), said=said)

    def new_sound(self, last: bool = False) -> np.ndarray | None:
        """What Gradio's player has to play now: nothing where the line carries the sound.

        Kept back until it is known who plays it; ``last``: until then this waits.
        """
        carried = self.line.carries(wait=last) if self.line and self.so_far.sounds else False
        if carried is None:
            return None
        samples = np.concatenate(self.unplayed) if self.unplayed and not carried else None
        self.unplayed.clear()
        return samples

    def question(self) -> Entry:
        """The person's bubble; as long as their media are not there yet, their text and the names
        of their files.
        """
        ask = self.ask
        typed = (Text(ask.text),) if ask.text else ()
        parts = self.so_far.question or ask.parts
        return Entry(
            Message("user", parts or typed), note="" if parts else ask.names, task=ask.task
        )

    def say(self, key: str, **values: object) -> str:
        return self.words.say(self.ask.language, key, **values)


def run_turn(
    engine: Engine,
    session: Session,
    tab: str,
    thread: Thread,
    ask: Ask,
    words: Words,
    line: VoiceLine | None = None,
) -> Iterator[View]:
    """Answer ``ask`` in ``thread``; the last view carries the new thread.

    Sound goes to ``line`` at once; what it turns out not to carry is in the views.
    Never raises for what goes wrong in a turn: an error becomes a sentence in the chat and in
    ``notice``, and the thread goes on as if the turn had not been there.
    """
    try:
        until_over(session, tab)
        with session.turn(tab) as stop:
            key = session.key(tab)
            thread = Thread() if ask.anew else thread
            session.at_end(key, partial(engine.forget, key))
            yield from _run(
                engine, session, _Turn(ask, words, thread, key, session.asker, line), stop
            )
    except TurnBusy as busy:
        sentence = words.say(ask.language, f"{busy.by}-busy")
        yield View(thread.bubbles(), sentence, thread=thread, notice=sentence, text=ask.text)


def until_over(session: Session, tab: str) -> bool:
    """Wait a little for a turn that the page has seen the end of and that is not quite over.

    Whether no turn runs now.
    """
    deadline = time.monotonic() + OVER_S
    while session.running(tab):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _run(engine: Engine, session: Session, turn: _Turn, stop: threading.Event) -> Iterator[View]:
    turn.status = turn.say("thinking")
    items: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
    # The thread goes on as part of the request: a ZeroGPU Space books its time on the visitor's.
    worker = threading.Thread(
        target=copy_context().run,
        args=(_work, engine, turn, stop, items),
        name="omni-turn",
        daemon=True,
    )
    worker.start()
    try:
        yield turn.view()
        for batch in _batches(items, sounded=turn.line is not None):
            for item in batch:
                turn.take(item)
            if not turn.so_far.made:
                yield from _in_pieces(turn.view())
        yield _last_view(turn, session)
    finally:  # also when the page was closed; runs on the server's event loop then: no waiting
        stop.set()


def _in_pieces(view: View) -> Iterator[View]:
    """A view as often as it takes to bring its sound in pieces of at most PIECE_S."""
    if view.sound is None:
        yield view
        return
    count = math.ceil(view.sound.size / (PIECE_S * SPEECH_RATE)) or 1
    for piece in np.array_split(view.sound, count):
        yield replace(view, sound=piece)


def _work(
    engine: Engine, turn: _Turn, stop: threading.Event, items: queue.SimpleQueue[Item | None]
) -> None:
    """The worker thread: prepare, generate, report everything."""
    try:
        parts, system = turn.ask.prepare(stop)
        items.put(Prepared(parts))
        for event in _events(engine, turn, parts, system, stop):
            if turn.line is not None and isinstance(event, SpeechChunk):
                turn.line.push(event.samples)  # past all that the screen waits for
            items.put(event)
    except DecodingStopped:  # before the engine was asked
        items.put(TurnEnd(Message("assistant", ()), "stopped", TurnStats()))
    except Exception as error:  # shown to the person by the consumer, see _last_view
        items.put(error)
    finally:
        items.put(None)


def _events(
    engine: Engine,
    turn: _Turn,
    parts: tuple[Part, ...],
    system: SystemPrompt,
    stop: threading.Event,
) -> Iterator[EngineEvent]:
    """What the engine does for the turn's question."""
    ask = turn.ask
    if ask.task == "transcribe":
        sound = next(part for part in parts if isinstance(part, Audio))
        return engine.transcribe(
            sound.path, stop, ask.change(TRANSCRIBING), turn.owner, ask.adapter
        )
    if ask.task == "read":
        text = next(part for part in reversed(parts) if isinstance(part, Text))
        manner = "" if system.text == DEFAULT_SYSTEM_TEXT else system.text
        options = ask.change(READING)
        if ask.lines is not None:
            return engine.read_lines(ask.lines(), stop, options, turn.owner, ask.adapter)
        return engine.read_aloud(
            text.text, stop, system.voice, options, turn.owner, manner, ask.adapter
        )
    asked = turn.thread.plus(Entry(Message("user", parts)))
    conversation = asked.conversation(system, turn.words.prompt_language(ask.language))
    return engine.turn(conversation, ask.options, stop, turn.key, turn.owner, ask.adapter)


def _batches(items: queue.SimpleQueue[Item | None], sounded: bool = False) -> Iterator[list[Item]]:
    """Items as they come: text for REDRAW_S together, the first sound with what follows it (see
    FIRST_SOUND_S), later sound and the end at once.

    ``sounded``: no sound is the first one for Gradio's player.
    """
    batch: list[Item] = []
    due = 0.0
    while True:
        try:
            item = items.get(timeout=max(0.0, due - time.monotonic()) if batch else None)
        except queue.Empty:
            sounded = sounded or _seconds(batch) > 0
            yield batch
            batch = []
            continue
        if item is None:
            if batch:
                yield batch
            return
        if not batch:
            due = time.monotonic() + REDRAW_S
        if isinstance(item, SpeechChunk) and not sounded and not _seconds(batch):
            due = time.monotonic() + FIRST_WAIT_S
        batch.append(item)
        waits = isinstance(item, (TextDelta, Progress))
        if isinstance(item, SpeechChunk) and not sounded:
            waits = _seconds(batch) < FIRST_SOUND_S
            sounded = not waits
        if not waits:
            yield batch
            batch = []


def _seconds(batch: list[Item]) -> float:
    """How much sound a batch brings."""
    return sum(item.samples.size for item in batch if isinstance(item, SpeechChunk)) / SPEECH_RATE


def _last_view(turn: _Turn, session: Session) -> View:
    thread, rest = turn.thread, turn.new_sound(last=True)
    end, language = turn.so_far.end, turn.ask.language
    if end is None:
        return _failed_view(turn, thread, rest)
    notes = [turn.say(f"note-{end.reason}")] if end.reason != "end" else []
    notes += [turn.say("note-forgotten")] if end.forgotten else []
    notes += [turn.say(f"note-{note.kind}", name=note.name) for note in end.media_notes]
    unsaid = not end.message.parts
    question = replace(turn.question(), failed=unsaid)
    sound, unkept = keep_sound(session, turn.so_far.sounds)
    notes += [turn.words.error(language, unkept)] if unkept else []
    answer = Entry(end.message, sound, " ".join(notes), failed=unsaid, task=turn.ask.task)
    now = thread.forget(end.forgotten).plus(question, answer)
    status = stats_sentence(turn.words, language, end)
    said = turn.so_far.text
    return View(now.bubbles(), status, sound=rest, thread=now, said=said, end=end)


def _failed_view(turn: _Turn, thread: Thread, rest: np.ndarray | None) -> View:
    error = turn.so_far.error
    if isinstance(error, OmniError):
        sentence = turn.words.error(turn.ask.language, error)
    else:
        log.error("a turn failed", exc_info=error)
        sentence = turn.say("unexpected")
    question = replace(turn.question(), failed=True)
    if not (question.message.parts or question.note):  # nothing was asked: there is no bubble
        status = html.escape(sentence)
        return View(thread.bubbles(), status, sound=rest, thread=thread, notice=sentence)
    answer = Entry(turn.so_far.message, note=sentence, failed=True)
    now = thread.plus(question, answer)  # the error stands below the question that caused it
    return View(now.bubbles(), "", sound=rest, thread=now, notice=sentence, text=turn.ask.text)


def keep_sound(
    session: Session, sounds: Sequence[np.ndarray]
) -> tuple[Path | None, OmniError | None]:
    """A whole spoken answer, int16 (samples,) each, as a file of the session.

    None: there is no sound, or no session any more, or no room: then with the error. The answer's
    text stays whatever happens here.
    """
    if session.ended or not any(len(samples) for samples in sounds):
        return None, None
    samples = np.concatenate(sounds)
    try:
        with session.writing(ANSWER_NAME, samples.nbytes) as path:
            write_wav(path, samples)
    except OmniError as error:
        return None, error
    except FileNotFoundError:  # the session was removed meanwhile
        return None, None
    return path, None


def progress_sentence(words: Words, language: PageLanguage, progress: Progress) -> str:
    """What long work is under way, with how much of it is done."""
    return sentence(progress, partial(words.say, language))
