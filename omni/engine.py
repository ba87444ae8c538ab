"""The one model that everything shares: loaded when first needed, used by one turn at a time.

Knows: who is served when, loading, reloading and unloading, what becomes of errors.
Does not know: tokens, tensors (:mod:`omni.assistant` runs a turn), user interfaces.
Importing this module does not import torch; the first load does.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from omni.conversation import Conversation, Message, VoicePrompt
from omni.errors import OmniError
from omni.events import EngineEvent, Progress, TurnEnd, TurnStats
from omni.fair_queue import Ticket, Turnstile
from omni.options import GenerationOptions
from omni.settings import EngineSettings, LoadReport

__all__ = ["Engine", "EngineSettings", "LoadReport"]

logger = logging.getLogger(__name__)
POLL_S = 0.05  # how often a waiting turn looks at its stop signal


class Assistant(Protocol):
    """A loaded model that can run turns; ``started`` is the clock's reading to count from."""

    @property
    def report(self) -> LoadReport:
        """What was loaded, and how."""
        ...

    @property
    def default_options(self) -> GenerationOptions:
        """The checkpoint's own."""
        ...

    def turn(
        self,
        conversation: Conversation,
        options: GenerationOptions | None,
        stop: threading.Event,
        started: float,
        session: str | None = None,
    ) -> Iterator[EngineEvent]:
        """Answer; what ``session`` has computed before is not computed again."""
        ...

    def prepare(
        self, conversation: Conversation, stop: threading.Event, started: float, session: str
    ) -> Iterator[EngineEvent]:
        """Read what the next turn of ``session`` will begin with, and say nothing."""
        ...

    def forget(self, session: str) -> None:
        """Drop what was kept of ``session``."""
        ...

    def transcribe(
        self, path: Path, options: GenerationOptions | None, stop: threading.Event, started: float
    ) -> Iterator[EngineEvent]:
        """Write down what a recording says."""
        ...

    def read_aloud(
        self,
        text: str,
        voice: VoicePrompt | None,
        options: GenerationOptions | None,
        stop: threading.Event,
        started: float,
    ) -> Iterator[EngineEvent]:
        """Speak a text, in the voice if there is one."""
        ...


# Options, or how to change the checkpoint's own (known once it is loaded); None: just those.
Choice: TypeAlias = GenerationOptions | Callable[[GenerationOptions], GenerationOptions] | None

# Loads what the settings say; calls the function once everything was found and checked, right
# before it takes memory, so that the previous model can go.
Loader: TypeAlias = Callable[
    [EngineSettings, Callable[[], None]], Generator[Progress, None, Assistant]
]


def _load(
    settings: EngineSettings, make_room: Callable[[], None]
) -> Generator[Progress, None, Assistant]:
    from omni.assistant import load_assistant

    return load_assistant(settings, make_room)


class Engine:
    """One model for all users of the process.

    Every method may be called from any thread. Turns, loads and unloads are served in the order
    in which they began. All iterators here are generators: closing one (or dropping it) ends its
    work and lets the next in.
    """

    def __init__(self, settings: EngineSettings | None = None, loader: Loader = _load) -> None:
        """Args:
        settings: what to load when it is needed first.
        loader: how to load; for tests.
        """
        self._settings = settings or EngineSettings()
        self._loader = loader
        self._turnstile = Turnstile()
        self._assistant: Assistant | None = None
        self._loaded_settings: EngineSettings | None = None

    @property
    def settings(self) -> EngineSettings:
        """What the next turn runs with (it is loaded then, if it is not yet)."""
        return self._settings

    @settings.setter
    def settings(self, settings: EngineSettings) -> None:
        """Loads nothing before the next turn."""
        self._settings = settings

    @property
    def report(self) -> LoadReport | None:
        """What is loaded; None: nothing."""
        assistant = self._assistant
        return assistant.report if assistant else None

    @property
    def default_options(self) -> GenerationOptions:
        """How the loaded checkpoint likes to answer; the product's defaults while none is."""
        assistant = self._assistant
        return assistant.default_options if assistant else GenerationOptions()

    @property
    def busy(self) -> bool:
        """Whether somebody is served now; a turn that begins now waits."""
        return len(self._turnstile) > 0

    def load(self, settings: EngineSettings | None = None) -> Iterator[Progress]:
        """Load now, ``settings`` if given; nothing happens if that is loaded already.

        When ``settings`` cannot be loaded, the engine goes back to the settings before.

        Raises:
            CheckpointError: the checkpoint cannot be used.
            ResourceError: memory, disk or device do not allow it.
        """
        ticket = self._turnstile.take()
        try:
            yield from self._wait(ticket, threading.Event())
            before, self._settings = self._settings, settings or self._settings
            try:
                yield from self._ready()
            except BaseException:
                self._settings = before
                raise
        finally:
            self._turnstile.leave(ticket)

    def unload(self) -> None:
        """Free the model once those who came before are done; the next turn loads it again.

        Must not be called by who is iterating over a turn in the same thread: it would wait for
        itself.
        """
        ticket = self._turnstile.take()
        try:
            self._turnstile.wait(ticket)
            self._drop()
        finally:
            self._turnstile.leave(ticket)

    def turn(
        self,
        conversation: Conversation,
        options: Choice = None,
        stop: threading.Event | None = None,
        session: str | None = None,
    ) -> Iterator[EngineEvent]:
        """Answer the conversation's last message; ends with one TurnEnd.

        Args:
            conversation: what was said, the user's message last.
            options: None for the checkpoint's own defaults; a function gets these and changes
                them.
            stop: when set, the turn ends within one step with what there is.
            session: whose turn this is. What the next turn of the same session can use is kept,
                within ``settings.session_bytes``: its context, if the conversation goes on, and
                the media that were shown. None: nothing is.

        Raises:
            OmniError: with a sentence for the person; the engine stays usable.
        """
        return self._serve(
            stop,
            lambda assistant, signal, started: assistant.turn(
                conversation, _chosen(options, assistant), signal, started, session
            ),
        )

    def prepare(
        self, conversation: Conversation, stop: threading.Event, session: str
    ) -> Iterator[Progress]:
        """Read what a spoken turn of ``session`` will follow, so that it need not be read then.

        ``conversation``: what was said so far, possibly nothing.

        Raises:
            OmniError: with a sentence for the person; the engine stays usable.
        """
        served = self._serve(
            stop,
            lambda assistant, signal, started: assistant.prepare(
                conversation, signal, started, session
            ),
        )
        return (event for event in served if isinstance(event, Progress))

    def forget(self, session: str) -> None:
        """Drop what is kept for ``session``; a turn of it that is under way goes on."""
        assistant = self._assistant
        if assistant is not None:
            assistant.forget(session)

    def transcribe(
        self,
        path: Path,
        stop: threading.Event | None = None,
        options: GenerationOptions | None = None,
    ) -> Iterator[EngineEvent]:
        """Write down what a sound file says: TextDelta and Progress, then TurnEnd.

        Raises:
            OmniError: with a sentence for the person; the engine stays usable.
        """
        return self._serve(
            stop,
            lambda assistant, signal, started: assistant.transcribe(path, options, signal, started),
        )

    def read_aloud(
        self,
        text: str,
        stop: threading.Event | None = None,
        voice: VoicePrompt | None = None,
        options: GenerationOptions | None = None,
    ) -> Iterator[EngineEvent]:
        """Speak ``text``: SpeechChunk and Progress, then TurnEnd.

        Raises:
            OmniError: with a sentence for the person; the engine stays usable.
        """
        return self._serve(
            stop,
            lambda assistant, signal, started: assistant.read_aloud(
                text, voice, options, signal, started
            ),
        )

    def _serve(
        self,
        stop: threading.Event | None,
        work: Callable[[Assistant, threading.Event, float], Iterator[EngineEvent]],
    ) -> Generator[EngineEvent, None, None]:
        """Start the clock now; the work begins with the first event that is asked for."""
        return self._served(stop or threading.Event(), work, time.perf_counter())

    def _served(
        self,
        stop: threading.Event,
        work: Callable[[Assistant, threading.Event, float], Iterator[EngineEvent]],
        started: float,
    ) -> Generator[EngineEvent, None, None]:
        ticket = self._turnstile.take()
        try:
            yield from self._wait(ticket, stop)
            if not stop.is_set():
                yield from self._ready_unless(stop)
            assistant = self._assistant
            if stop.is_set() or assistant is None:
                yield _stopped(started)
                return
            yield from _translated(work(assistant, stop, started), assistant.report.device)
        finally:
            self._turnstile.leave(ticket)

    def _wait(self, ticket: Ticket, stop: threading.Event) -> Generator[Progress, None, None]:
        """Until it is ``ticket``'s turn, or ``stop`` is set."""
        told = 0
        while not stop.is_set() and not self._turnstile.wait(ticket, POLL_S):
            ahead = self._turnstile.ahead(ticket)
            if ahead and ahead != told:
                told = ahead
                yield Progress("wait", 0, ahead)

    def _ready_unless(self, stop: threading.Event) -> Generator[Progress, None, None]:
        """:meth:`_ready`, given up at the next progress once ``stop`` is set."""
        with contextlib.closing(self._ready()) as loading:
            for progress in loading:
                if stop.is_set():
                    return
                yield progress

    def _ready(self) -> Generator[Progress, None, None]:
        """Have the model of the settings loaded. Only for who is inside the turnstile."""
        settings = self._settings
        if self._assistant is not None and self._loaded_settings == settings:
            return
        yield from _translated(self._replace(settings), settings.device)

    def _replace(self, settings: EngineSettings) -> Generator[Progress, None, None]:
        assistant = yield from self._loader(settings, self._drop)
        self._assistant, self._loaded_settings = assistant, settings
        logger.info("loaded %s", assistant.report)

    def _drop(self) -> None:
        """Let the model go and give its memory back."""
        if self._assistant is None:
            return
        self._assistant = self._loaded_settings = None
        _release()


def _translated(work: Iterator[Any], device: str) -> Generator[Any, None, None]:
    """``work``'s events; memory that ran out becomes a ResourceError and is freed.

    Closing this generator closes ``work`` too.
    """
    try:
        yield from work
    except (OmniError, GeneratorExit):
        raise
    except BaseException as error:
        from omni import devices

        if not devices.is_out_of_memory(error):
            raise
        if device == "auto":
            device = devices.choose_device().name
        logger.exception("memory ran out on %s", device)
        # The failed step's tensors live on in the frames that the traceback holds.
        traceback.clear_frames(error.__traceback__)
        devices.release()
        raise devices.out_of_memory(device) from error


def _chosen(options: Choice, assistant: Assistant) -> GenerationOptions | None:
    return options(assistant.default_options) if callable(options) else options


def _release() -> None:
    from omni import devices

    devices.release()


def _stopped(started: float) -> TurnEnd:
    stats = TurnStats(total_s=time.perf_counter() - started)
    return TurnEnd(Message("assistant", ()), "stopped", stats)
