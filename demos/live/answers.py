"""One answer of a live conversation while it is made, held back, sent, heard, interrupted.

Knows: the engine's events, what was sent and what was heard of them.
Does not know: when an answer is due (demos.live.session), the browser.
"""

from __future__ import annotations

import secrets
import threading
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from demos.base.word_files import PageLanguage, PromptLanguage
from demos.live.latency import Moments
from demos.turns.chat import Entry, Thread
from demos.turns.sessions import Session
from omni.conversation import Audio, Image, Message, Part, SystemPrompt, Text, Video
from omni.dialogue.interrupted import heard_part
from omni.events import (
    FRAMES_PER_SECOND,
    SPEECH_RATE,
    EngineEvent,
    Progress,
    SpeechChunk,
    TextDelta,
    TurnEnd,
)
from omni.listening.settings import RATE
from omni.media.wav import WavWriter
from omni.options import GenerationOptions

if TYPE_CHECKING:
    from omni.engine import Engine

TAIL = round(0.05 * SPEECH_RATE)  # samples: an answer is heard when all but so many were played
QUESTION_NAME, CAMERA_NAME, CLIP_NAME = "question.wav", "camera.jpg", "camera.mp4"
ANSWER_NAME = "answer.wav"

Change: TypeAlias = Callable[[GenerationOptions], GenerationOptions]


@dataclass(frozen=True)
class Setup:
    """What a live session starts from. ``thread``: the tab's chat so far."""

    thread: Thread
    system: SystemPrompt
    language: PageLanguage
    change: Change  # of the checkpoint's own options
    camera: bool = False
    prompt_language: PromptLanguage = "en"  # in which the model is spoken to
    # Under which the engine keeps what the next turn can use; unguessable.
    key: str = field(default_factory=lambda: f"live-{secrets.token_urlsafe(12)}")


@dataclass(frozen=True, eq=False)
class Question:
    """What the person said and showed. ``sound``: float32 (samples,) at RATE; ``frames``: JPEG."""

    sound: np.ndarray
    frames: tuple[bytes, ...] = ()
    carried: tuple[Part, ...] = ()  # of a question that was not answered yet

    def parts(self, session: Session) -> tuple[Part, ...]:
        """Written to the session's files.

        Raises:
            MediaError: a frame is no picture.
        """
        sound = session.new_file(QUESTION_NAME)
        write_sound(sound, self.sound)
        return (*self.carried, *self._seen(session), Audio(sound))

    def _seen(self, session: Session) -> tuple[Part, ...]:
        if not self.frames:
            return ()
        if len(self.frames) == 1:
            path = session.new_file(CAMERA_NAME)
            path.write_bytes(self.frames[0])
            return (Image(path),)
        from omni.media.clip import write_clip

        path = session.new_file(CLIP_NAME)
        write_clip(self.frames, path)
        return (Video(path),)


@dataclass(frozen=True)
class Prepared:
    """The question's files are written."""

    parts: tuple[Part, ...]


Item: TypeAlias = "EngineEvent | Prepared | Exception"


@dataclass(eq=False)
class Answer:
    """What has come of one answer. ``released``: the person's turn is over, it may be heard."""

    number: int
    question: Question
    stop: threading.Event = field(default_factory=threading.Event)
    moments: Moments = field(default_factory=Moments)
    released: bool = False
    parts: tuple[Part, ...] = ()
    text: str = ""
    sounds: list[np.ndarray] = field(default_factory=list)
    sent: int = 0  # samples
    heard: int = 0  # samples
    progress: Progress | None = None
    end: TurnEnd | None = None
    error: Exception | None = None
    silenced: bool = False  # playback was asked to stop
    flushed: bool = False  # and has stopped

    def take(self, item: Item) -> None:
        """Note what one item brings, and when."""
        now, moments = time.monotonic(), self.moments
        if isinstance(item, Prepared):
            self.parts = item.parts
            moments.written = now
        elif isinstance(item, TextDelta):
            self.text += item.text
            moments.text = moments.text or now
        elif isinstance(item, SpeechChunk):
            self.sounds.append(item.samples)
            moments.sound = moments.sound or now
        elif isinstance(item, Progress):
            self.progress = item
        elif isinstance(item, TurnEnd):
            self.end = item
        else:
            self.error = item

    @property
    def made(self) -> bool:
        """Nothing more comes from the engine."""
        return self.end is not None or self.error is not None

    @property
    def over(self) -> bool:
        """All of it was heard, or what was heard is known."""
        if not self.made:
            return False
        if self.silenced:
            return self.flushed or not self.sent
        return self.heard >= self.sent - TAIL or not self.sent

    def unsent(self) -> list[np.ndarray]:
        """The sound that is still to be sent; counts as sent from now on."""
        waiting, done = [], 0
        for samples in self.sounds:
            if done >= self.sent:
                waiting.append(samples)
            done += len(samples)
        self.sent = done
        return waiting

    def growing(self, thinking: str) -> list[Entry]:
        """Question and answer while it is made; ``thinking`` stands for one without words yet."""
        question = [Entry(Message("user", self.parts))] if self.parts else []
        said = (Text(self.text),) if self.text else ()
        return [*question, Entry(Message("assistant", said), note="" if said else thinking)]

    def entries(self, session: Session, note: str, failed: bool) -> tuple[Entry, ...]:
        """Question and answer for the chat, the answer as far as it was heard."""
        question = Entry(Message("user", self.parts), failed=failed)
        said: tuple[Part, ...] = (Text(self.text),) if self.text else ()
        message = self.end.message if self.end else Message("assistant", said)
        sound = self.sounds
        if self.silenced:
            message = heard_part(message, self.heard / SPEECH_RATE)
            frame = round(SPEECH_RATE / FRAMES_PER_SECOND)
            sound = [np.concatenate(self.sounds or [np.zeros(0, np.int16)])]
            sound = [sound[0][: self.heard // frame * frame]]
        unanswered = failed or not message.parts
        answer = Entry(message, _keep(session, sound), note, failed=unanswered)
        if not self.parts:
            return (answer,)
        return (replace(question, failed=unanswered), answer)


def work(
    engine: Engine,
    session: Session,
    setup: Setup,
    thread: Thread,
    answer: Answer,
    report: Callable[[Answer, Item], None],
) -> None:
    """Make the answer in this thread and report everything; the last item is a TurnEnd or an error.

    ``thread``: the chat before the question.
    """
    answer.moments.begun = time.monotonic()
    try:
        parts = answer.question.parts(session)
        report(answer, Prepared(parts))
        asked = thread.plus(Entry(Message("user", parts)))
        conversation = asked.conversation(setup.system, setup.prompt_language)
        for event in engine.turn(conversation, _options(setup), answer.stop, setup.key):
            report(answer, event)
    except Exception as error:  # becomes a sentence in the chat, see demos.live.session
        report(answer, error)


def _options(setup: Setup) -> Change:
    return lambda own: replace(setup.change(own), speech=True)


def files_of(parts: tuple[Part, ...]) -> list[Path]:
    """The files that a question's parts were written to."""
    return Entry(Message("user", parts)).media


def _keep(session: Session, sounds: list[np.ndarray]) -> Path | None:
    if session.ended or not sum(map(len, sounds)):
        return None
    path = session.new_file(ANSWER_NAME)
    with WavWriter(path) as file:
        for samples in sounds:
            file.write(samples)
    return path


def write_sound(path: Path, sound: np.ndarray) -> None:
    """Float32 (samples,) at RATE as a WAV file of 16 bits."""
    samples = np.clip(np.rint(sound * 32767), -32768, 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
