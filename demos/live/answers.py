"""An answer of a live session: made by the engine in a thread, put into the chat.

Knows: the engine, the session's files, the chat's entries.
Does not know: when an answer is begun or over (omni.dialogue), the browser.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from demos.base.word_files import PageLanguage, PromptLanguage
from demos.turns.chat import Entry, Thread
from demos.turns.kept_files import remove_folders
from demos.turns.room import told
from demos.turns.sessions import Session
from demos.turns.turn import keep_sound
from omni.conversation import Message, Part, SystemPrompt
from omni.dialogue.answer_so_far import AnswerSoFar, Item, Prepared
from omni.dialogue.exchange import Exchange
from omni.dialogue.question import Question, write_question
from omni.events import TurnEnd, TurnStats
from omni.media.limits import DecodingStopped
from omni.options import GenerationOptions

if TYPE_CHECKING:
    from omni.engine import Engine

Change: TypeAlias = Callable[[GenerationOptions], GenerationOptions]


@dataclass(frozen=True)
class Setup:
    """What a live session starts from."""

    thread: Thread  # the tab's chat so far
    system: SystemPrompt
    language: PageLanguage  # of the sentences that the page gets
    prompt_language: PromptLanguage  # of those that the model gets
    change: Change  # of the checkpoint's own options
    write_down: bool = False  # whether what was heard of each question is, too
    camera: bool = False  # whether its frames go with the questions
    # Under which the engine keeps what the next turn can use; unguessable.
    key: str = field(default_factory=lambda: f"live-{secrets.token_urlsafe(12)}")


@dataclass(frozen=True)
class Work:
    """What the thread of one answer needs. ``thread``: the chat before the question."""

    engine: Engine
    session: Session
    setup: Setup
    thread: Thread
    stop: threading.Event

    def make(self, question: Question, report: Callable[[Item], None]) -> None:
        """Make the answer in this thread; the last item reported is a TurnEnd or an error."""
        setup = self.setup
        try:
            parts = self._written(question)
            report(Prepared(parts))
            asked = self.thread.plus(Entry(Message("user", parts)))
            conversation = asked.conversation(setup.system, setup.prompt_language)
            owner = self.session.asker
            for event in self.engine.turn(conversation, self._options, self.stop, setup.key, owner):
                report(event)
        except DecodingStopped:  # before the engine was asked
            report(TurnEnd(Message("assistant", ()), "stopped", TurnStats()))
        except Exception as error:  # becomes a sentence in the chat, see demos.live.session
            report(error)

    def _written(self, question: Question) -> tuple[Part, ...]:
        """The question's parts, its files in the session; nothing of them stays if that fails."""
        made: list[Path] = []

        def new_file(name: str, size: int) -> Path:
            made.append(self.session.new_file(name, size))
            return made[-1]

        try:
            return write_question(question, new_file, self.stop)
        except BaseException as error:
            remove_folders([file.parent for file in made])
            if isinstance(error, OSError):
                raise told(error) from error
            raise

    def _options(self, own: GenerationOptions) -> GenerationOptions:
        return replace(self.setup.change(own), speech=True)


def growing(so_far: AnswerSoFar, thinking: str) -> list[Entry]:
    """Question and answer while it is made; ``thinking`` stands for one without words yet."""
    asked = so_far.question
    question = [Entry(Message("user", asked))] if asked else []
    said = replace(so_far, end=None).message
    return [*question, Entry(said, note="" if said.parts else thinking)]


def entries(
    exchange: Exchange, session: Session, note: str, tell: Callable[[Exception], str]
) -> tuple[Entry, ...]:
    """Question and answer that are over, for the chat; the sound goes to the session's files.

    ``tell``: an error as a sentence, where the sound could not be kept.
    """
    failed = not exchange.answered
    sound, unkept = keep_sound(session, exchange.sound)
    if unkept is not None:
        note = f"{note} {tell(unkept)}".strip()
    answer = Entry(exchange.answer, sound, note, failed=failed)
    if not exchange.question:
        return (answer,)
    return (Entry(Message("user", exchange.question), failed=failed), answer)


def files_of(parts: tuple[Part, ...]) -> list[Path]:
    """The files that a question's parts were written to."""
    return Entry(Message("user", parts)).media
