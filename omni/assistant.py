"""A loaded model at work: one turn from a conversation to text, sound and numbers.

Knows: the order prompt -> generation -> speech, and the clock.
Does not know: who is served when (:mod:`omni.engine`), how loading is done, user interfaces.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from omni import devices, threads
from omni.conversation import (
    Audio,
    Conversation,
    Image,
    Message,
    PromptLanguage,
    Speech,
    Text,
    Video,
)
from omni.errors import ConversationError
from omni.events import (
    AudioFrame,
    EngineEvent,
    Finished,
    MediaNote,
    Progress,
    SegmentEnd,
    SpeechChunk,
    TextDelta,
    TurnEnd,
)
from omni.generation.between_layers import stopping
from omni.generation.loop import GenerationLoop, GenerationRun
from omni.generation.session_cache import SessionCache
from omni.generation.turn_clock import TurnClock
from omni.libraries import heap
from omni.loading import load as loading
from omni.loading.adapters.files import find_adapter
from omni.loading.adapters.shelf import Shelf, bytes_of
from omni.loading.load import LoadedModel
from omni.loading.patience import patient
from omni.loading.progress.background import LAID_OUT, Report, in_background
from omni.loading.progress.phases import Phases
from omni.loading.progress.warming import warm
from omni.media.limits import DecodingStopped
from omni.options import READING, TRANSCRIBING, GenerationOptions
from omni.prompting.prompt import PromptBuilder
from omni.prompting.scripts import strange_word
from omni.prompting.trimming import fitting
from omni.requests import (
    PrepareRequest,
    ReadAloudRequest,
    ReadLinesRequest,
    Request,
    TranscribeRequest,
    TurnRequest,
    chosen,
)
from omni.settings import EngineSettings, LoadReport
from omni.speech.decoder import SpeechDecoder
from omni.speech.joining import Samples
from omni.speech.lines import read_lines
from omni.speech.overlap import Jobs, jobs_on

PLACEHOLDER = "."  # for a question that is not known yet
HAN = ("\u4e00", "\u9fff")  # the common Chinese characters


def load_assistant(
    settings: EngineSettings, make_room: Callable[[], None]
) -> Generator[Progress, None, Assistant]:
    """See :func:`omni.loading.load.load`; with the adapters of the settings, and what a first turn
    alone would wait for is done, too.
    """
    started, phases = time.perf_counter(), Phases()
    folders = {}
    for name in settings.adapters:
        folders[name] = yield from find_adapter(name)
    loading_it = loading.load(settings, make_room, lambda config: bytes_of(folders, config))
    loaded = yield from phases.follow(loading_it)
    assistant = yield from phases.follow(in_background(partial(_warmed, loaded, settings)))
    yield from assistant.hold_adapters(settings.adapters)
    report = replace(
        assistant.report,
        memory_bytes=devices.held_bytes(loaded.report.device),
        load_s=time.perf_counter() - started,
        phases=phases.seconds,
    )
    assistant.loaded = replace(assistant.loaded, report=report)
    heap.settle()
    return assistant


def _warmed(loaded: LoadedModel, settings: EngineSettings, report: Report) -> Assistant:
    """An assistant on ``loaded`` that has answered once."""

    def waiting() -> None:
        """Whether anybody still waits for it."""
        report(Progress("warm", 0, 0))

    assistant = Assistant(loaded, settings, waiting)
    few_bits = loaded.report.quantization != "none" and loaded.report.device == "cpu"
    begun = LAID_OUT if few_bits else 0.0
    warm(loaded.model, loaded.model.model.layers, assistant.run, report, begun)
    assistant.be(patient(loaded, settings, waiting))  # what is measured is warm by now
    return assistant


class Assistant:
    """Serves requests, one at a time. What the next turn of a session can use is kept."""

    def __init__(
        self,
        loaded: LoadedModel,
        settings: EngineSettings | None = None,
        waiting: Callable[[], None] = lambda: None,
    ) -> None:
        """Args:
        settings: what was asked for, as far as turns are concerned.
        waiting: called now and then while memory is laid out anew; what it raises ends that.
        """
        settings = settings or EngineSettings()
        self.be(loaded)
        self._session_cache = SessionCache(settings.session_bytes)
        self._shelf = Shelf(loaded.model)
        self._serving = False  # whether a request is under way
        self._adapter_of: dict[str, str] = {}  # with which a session's last turn was answered
        if loaded.model.device.type == "cpu":
            loaded.model.audio_head.pack(waiting)
        self._loop = GenerationLoop(
            loaded.model,
            loaded.tokenizer,
            session_cache=self._session_cache,
            capture=settings.compile != "off",
        )

    def be(self, loaded: LoadedModel) -> None:
        """From now on the same model with other limits."""
        self.loaded = loaded
        self._builder = PromptBuilder(loaded.tokenizer, loaded.config)

    @property
    def report(self) -> LoadReport:
        """What was loaded, and how."""
        return self.loaded.report

    @property
    def default_options(self) -> GenerationOptions:
        """How the checkpoint likes to answer."""
        return self._within(self.loaded.defaults.options)

    def run(self, request: Request) -> Generator[EngineEvent, None, None]:
        """Serve ``request``; ends with a TurnEnd.

        Raises:
            CheckpointError: ``adapter-absent``, the request names an adapter that is not there.
        """
        threads.COUNT.settle()
        self._use_adapter(request)
        self._serving = True
        try:
            with stopping(self.loaded.model, request.stop):
                yield from self._served(request)
        except DecodingStopped:  # in the middle of a long file, or of a long pass
            stats = TurnClock(request.started).stopped()
            yield TurnEnd(Message("assistant", ()), "stopped", stats)
        finally:
            self._serving = False

    def _served(self, request: Request) -> Generator[EngineEvent, None, None]:
        if isinstance(request, TurnRequest):
            return self._turn(request)
        if isinstance(request, PrepareRequest):
            return self._prepare(request)
        if isinstance(request, TranscribeRequest):
            return self._transcribe(request)
        if isinstance(request, ReadLinesRequest):
            for line in request.lines:  # all before the first is heard
                self._check_script(line.text)
            return read_lines(self._read_aloud, request)
        self._check_script(request.text)
        return self._read_aloud(request)

    def forget(self, session: str) -> None:
        """Drop what is kept for ``session``. May be called from any thread.

        Where nobody is served, the memory of past turns goes back to the system, too: else the
        allocator keeps what many of them at once have needed.
        """
        self._session_cache.forget(session)
        self._adapter_of.pop(session, None)
        if not self._serving:
            heap.tidy()

    def hold_adapters(self, names: Sequence[str]) -> Generator[Progress, None, None]:
        """Have just these adapters beside the model, which is not loaded again.

        Raises:
            CheckpointError: one is missing, broken or of another model; nothing has changed.
            ResourceError: the disk is too small for one.
        """
        before = self._shelf.used
        yield from self._shelf.hold(names)
        if self._shelf.used != before:
            self._captured_anew()

    def _use_adapter(self, request: Request) -> None:
        """Put the request's adapter to work. What another one computed is no use to it."""
        name = request.adapter or ""
        if self._shelf.use(name):
            self._captured_anew()
        session = getattr(request, "session", None)
        if session is not None:
            if self._adapter_of.get(session, name) != name:
                self._session_cache.forget(session)
            self._adapter_of[session] = name

    def _captured_anew(self) -> None:
        if self._loop.captured is not None:
            self._loop.captured.forget()

    def keep(self) -> Generator[Progress, None, None]:
        """Keep the quantized weights on the disk; nothing happens where there are none.

        May be called from any thread, also while a request is served.

        Raises:
            BusyError: they are being written already.
            ResourceError: the disk is too small, full or read-only.
        """
        if self.loaded.keepable is None:
            return
        yield from self.loaded.keepable.keep()
        self.loaded = replace(self.loaded, report=replace(self.loaded.report, kept=True))

    def _turn(self, request: TurnRequest) -> Generator[EngineEvent, None, None]:
        options = self._within(chosen(request.options, self.default_options))
        clock = TurnClock(request.started)
        media = _media_count(request.conversation, options.speech)
        if media:
            yield Progress("encode", 0, media)
        builder = self._builder.for_turn(request.stop)
        with clock.encoding():
            fit = fitting(builder, request.conversation, options.speech)
            generation = self._loop.run(fit.prompt, options, request.stop, request.session)
        notes = builder.notes_on(_new_files(request.conversation))
        events = self._events(generation, request, clock, options.speech, media, fit.forgotten)
        yield from _noted(events, notes)

    def _prepare(self, request: PrepareRequest) -> Generator[EngineEvent, None, None]:
        clock = TurnClock(request.started)
        conversation = request.conversation
        media = _media_count(conversation, speech=True)
        if media:
            yield Progress("encode", 0, media)
        # Any question stands behind the same context; what this one adds is forgotten with the
        # first real one.
        question = Message("user", (Text(PLACEHOLDER),))
        asked = replace(conversation, messages=(*conversation.messages, question))
        with clock.encoding():
            fit = fitting(self._builder.for_turn(request.stop), asked, speech=True)
            generation = self._loop.prepare(fit.prompt, request.stop, request.session)
        yield from self._events(
            generation, request, clock, spoken=False, media=media, forgotten=fit.forgotten
        )

    def _transcribe(self, request: TranscribeRequest) -> Generator[EngineEvent, None, None]:
        options = self._within(request.options or TRANSCRIBING)
        clock = TurnClock(request.started)
        yield Progress("encode", 0, 1)
        builder = self._builder.for_turn(request.stop)
        with clock.encoding():
            prompt = builder.transcription(request.path)
            generation = self._loop.transcribe(prompt, options, request.stop)
        events = self._events(generation, request, clock, spoken=False, media=1)
        yield from _noted(events, builder.notes_on([request.path]))

    def _read_aloud(self, request: ReadAloudRequest) -> Generator[EngineEvent, None, None]:
        options = self._within(request.options or READING)
        clock = TurnClock(request.started)
        chinese = any(HAN[0] <= character <= HAN[1] for character in request.text)
        builder, voice = self._builder.for_turn(request.stop), request.voice
        with clock.encoding():
            language: PromptLanguage = "zh" if chinese else "en"
            prompts = builder.reading(request.text, voice, language, request.manner)
            generation = self._loop.read_aloud(prompts, options, request.stop)
        events = self._events(generation, request, clock, spoken=True)
        yield from _noted(events, builder.notes_on([voice.path] if voice else []))

    def _check_script(self, text: str) -> None:
        scripts = self.loaded.defaults.scripts
        word = strange_word(text, scripts) if scripts else None
        if word is not None:
            raise ConversationError(
                "script-not-learnt",
                "This model can't read “{word}” aloud: it has not learnt this script.",
                word=word,
            )

    def _within(self, options: GenerationOptions) -> GenerationOptions:
        return self.loaded.defaults.limits.of(options)

    def _events(
        self,
        generation: GenerationRun,
        request: Request,
        clock: TurnClock,
        spoken: bool,
        media: int = 0,
        forgotten: int = 0,
    ) -> Generator[EngineEvent, None, None]:
        """Generation's events with the codes as sound, in the order in which they come.

        ``request.stop`` also silences what was generated before and is not decoded yet.

        Args:
            media: files that the prompt reads.
            forgotten: messages that the prompt lacks.
        """
        loaded, stop = self.loaded, request.stop
        speech = SpeechDecoder(
            loaded.model.audio_tokenizer, loaded.vocoder, loaded.speech, generation.seed
        )
        jobs: Jobs[Samples | None] = jobs_on(loaded.model.audio_tokenizer.device)
        try:
            for event in generation:
                if media:
                    yield Progress("encode", media, media)
                    media = 0
                if isinstance(event, TextDelta):
                    clock.text_came()
                    yield event
                elif isinstance(event, AudioFrame):
                    jobs.submit(clock.decoding(partial(speech.push, event.codes)))
                elif isinstance(event, SegmentEnd):
                    jobs.submit(clock.decoding(speech.end_segment))
                elif isinstance(event, Finished):
                    if event.reason != "stopped":  # whoever stopped it wants to hear no more
                        jobs.submit(clock.decoding(speech.finish))
                        yield from _until(stop, clock.sound(jobs.rest()))
                    reason = "stopped" if stop.is_set() else event.reason
                    message = Message("assistant", event.parts, spoken)
                    yield TurnEnd(message, reason, clock.stats(generation), forgotten)
                    return
                yield from _until(stop, clock.sound(jobs.ready()))
        except BaseException as error:
            if devices.is_out_of_memory(error):
                self._session_cache.clear()
            raise
        finally:
            generation.close()
            jobs.close()


def _noted(
    events: Generator[EngineEvent, None, None], notes: tuple[MediaNote, ...]
) -> Generator[EngineEvent, None, None]:
    """``events``, the last of them with ``notes``; closing this closes them too."""
    with closing(events):
        for event in events:
            yield replace(event, media_notes=notes) if isinstance(event, TurnEnd) else event


def _until(stop: threading.Event, chunks: Iterator[SpeechChunk]) -> Iterator[SpeechChunk]:
    for chunk in chunks:
        if stop.is_set():
            return
        yield chunk


def _new_files(conversation: Conversation) -> list[Path]:
    """The files of the last message and the voice; those before were told of in their turns."""
    last, voice = conversation.messages[-1], conversation.system.voice
    files = [part.path for part in last.parts if isinstance(part, Audio | Image | Video)]
    return files + ([voice.path] if voice and len(conversation.messages) == 1 else [])


def _media_count(conversation: Conversation, speech: bool) -> int:
    """Files that the prompt reads."""
    parts = [part for message in conversation.messages for part in message.parts]
    files = sum(
        isinstance(part, Audio | Image | Video) or (isinstance(part, Speech) and part.codes is None)
        for part in parts
    )
    return files + (speech and conversation.system.voice is not None)
