"""What an engine can be asked for: one value for each kind of work, which travels to the model.

Knows: the requests, and the methods that make them. Does not know: who serves them, tokens, torch.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from omni.conversation import Conversation, VoicePrompt
from omni.events import EngineEvent, Progress
from omni.fair_queue import Asker
from omni.options import GenerationOptions

# Options, or how to change the checkpoint's own (known once it is loaded); None: just those.
OptionsChange: TypeAlias = Callable[[GenerationOptions], GenerationOptions]
OptionsChoice: TypeAlias = GenerationOptions | OptionsChange | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Asked:
    """What every request has."""

    # When set, the work ends within one step with what there is.
    stop: threading.Event = field(default_factory=threading.Event)
    # Who asks: nobody's requests hold up those of others. None: somebody who is not known.
    owner: Asker | None = None
    # Reading of time.perf_counter from which the statistics count: when it was asked.
    started: float = field(default_factory=time.perf_counter)
    # Which of the loaded adapters answers; empty: the model alone; None: as the engine is set when
    # it is asked. What becomes of the setting later does not change the answer.
    adapter: str | None = None
    # Whether nobody waits for it: it is served behind all, never loads the model, and ends (as if
    # ``stop`` had been set: it is) as soon as anybody else comes.
    behind: bool = False


@dataclass(frozen=True, eq=False)
class TurnRequest(_Asked):
    """Answer a conversation's last message."""

    conversation: Conversation  # the user's message last
    options: OptionsChoice = None
    # Whose turn this is. What the next turn of the same session can use is kept: its context, if
    # the conversation goes on, and the media that were shown. None: nothing is kept.
    session: str | None = None


@dataclass(frozen=True, eq=False)
class PrepareRequest(_Asked):
    """Read what a spoken turn of a session will follow, and say nothing."""

    conversation: Conversation  # what was said so far, possibly nothing
    session: str  # whose next turn finds it read


@dataclass(frozen=True, eq=False)
class TranscribeRequest(_Asked):
    """Write down what a sound file says."""

    path: Path  # the sound file, or a clip with sound
    options: GenerationOptions | None = None  # None: omni.options.TRANSCRIBING


@dataclass(frozen=True, eq=False)
class ReadAloudRequest(_Asked):
    """Speak a text."""

    text: str
    voice: VoicePrompt | None = None  # whose voice to take
    options: GenerationOptions | None = None  # None: omni.options.READING
    manner: str = ""  # how to speak: the text of a system prompt; empty: as the model likes


@dataclass(frozen=True, eq=False)
class ReadLine:
    """One line of a reading with several voices."""

    text: str  # what is said
    voice: VoicePrompt | None = None  # whose voice to take
    name: str = ""  # by which the voice was asked for: stands before the text; empty: nothing does
    manner: str = ""  # how to speak, as of :class:`ReadAloudRequest`


@dataclass(frozen=True, eq=False)
class ReadLinesRequest(_Asked):
    """Speak lines one after another, each in a voice of its own."""

    lines: tuple[ReadLine, ...]
    options: GenerationOptions | None = None  # None: omni.options.READING


Request: TypeAlias = (
    TurnRequest | PrepareRequest | TranscribeRequest | ReadAloudRequest | ReadLinesRequest
)


def chosen(options: OptionsChoice, own: GenerationOptions) -> GenerationOptions:
    """The options that ``options`` stand for, where ``own`` are the checkpoint's."""
    if options is None:
        return own
    return options(own) if callable(options) else options


class RequestMethods(ABC):
    """The requests as methods: each makes one and has :meth:`run` serve it."""

    @abstractmethod
    def run(self, request: Request) -> Iterator[EngineEvent]:
        """Serve a request; ends with one TurnEnd.

        Raises:
            OmniError: with a sentence for the person.
        """

    def turn(
        self,
        conversation: Conversation,
        options: OptionsChoice = None,
        stop: threading.Event | None = None,
        session: str | None = None,
        owner: Asker | None = None,
        adapter: str | None = None,
    ) -> Iterator[EngineEvent]:
        """Answer the conversation's last message: TextDelta, SpeechChunk, Progress, then TurnEnd.

        Args:
            conversation: what was said, the user's message last.
            options: None for the checkpoint's own defaults; a function gets these and changes
                them.
            stop: when set, the turn ends within one step with what there is.
            session: whose turn this is. What the next turn of the same session can use is kept,
                within ``settings.session_bytes``: its context, if the conversation goes on, and
                the media that were shown. None: nothing is.
            owner: who asks, see the requests.
            adapter: which of the loaded ones answers, see the requests.

        Raises:
            OmniError: with a sentence for the person; the engine stays usable.
        """
        return self.run(
            TurnRequest(
                conversation,
                options,
                session,
                stop=_or_never(stop),
                owner=owner,
                adapter=adapter,
            )
        )

    def prepare(
        self,
        conversation: Conversation,
        stop: threading.Event,
        session: str,
        owner: Asker | None = None,
    ) -> Iterator[Progress]:
        """Read what a spoken turn of ``session`` will follow, so that it need not be read then.

        ``conversation``: what was said so far, possibly nothing.

        Raises:
            OmniError: with a sentence for the person; the engine stays usable.
        """
        events = self.run(PrepareRequest(conversation, session, stop=stop, owner=owner))
        return (event for event in events if isinstance(event, Progress))

    def transcribe(
        self,
        path: Path,
        stop: threading.Event | None = None,
        options: GenerationOptions | None = None,
        owner: Asker | None = None,
        adapter: str | None = None,
    ) -> Iterator[EngineEvent]:
        """Write down what a sound file says: TextDelta and Progress, then TurnEnd.

        Raises:
            OmniError: with a sentence for the person; the engine stays usable.
        """
        return self.run(
            TranscribeRequest(path, options, stop=_or_never(stop), owner=owner, adapter=adapter)
        )

    def read_aloud(
        self,
        text: str,
        stop: threading.Event | None = None,
        voice: VoicePrompt | None = None,
        options: GenerationOptions | None = None,
        owner: Asker | None = None,
        manner: str = "",
        adapter: str | None = None,
    ) -> Iterator[EngineEvent]:
        """Speak ``text``: SpeechChunk and Progress, then TurnEnd.

        Raises:
            OmniError: with a sentence for the person; the engine stays usable.
        """
        return self.run(
            ReadAloudRequest(
                text, voice, options, manner, stop=_or_never(stop), owner=owner, adapter=adapter
            )
        )

    def read_lines(
        self,
        lines: tuple[ReadLine, ...],
        stop: threading.Event | None = None,
        options: GenerationOptions | None = None,
        owner: Asker | None = None,
        adapter: str | None = None,
    ) -> Iterator[EngineEvent]:
        """Speak lines one after another, with a pause between them, as one sound.

        For each line its TextDelta (name and text), then its SpeechChunks; Progress; then TurnEnd.

        Raises:
            OmniError: with a sentence for the person; the engine stays usable.
        """
        return self.run(
            ReadLinesRequest(lines, options, stop=_or_never(stop), owner=owner, adapter=adapter)
        )


def _or_never(stop: threading.Event | None) -> threading.Event:
    """``stop``, or a signal that nobody sets."""
    return threading.Event() if stop is None else stop
