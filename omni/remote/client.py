"""The engine of another machine as an engine here: whoever has one need not know where it is.

Knows: what is asked, what comes back, what is known of the other end. Does not know: how a
connection is made (:mod:`omni.remote.link`), what serves at the other end.

Nothing waits here: a line is where a model is, and there are as many models as the other end has.
A request brings its whole conversation, and the files that are not there yet; so the next one may
be served by another replica when this one is lost.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from omni.engine import Engine, EngineState
from omni.errors import ConversationError, MediaError, OmniError, ResourceError
from omni.events import EngineEvent, Progress, SpeechChunk, TextDelta, TurnEnd, stopped
from omni.loading.progress.background import Report, in_background
from omni.media.files import readable_file
from omni.media.limits import limits
from omni.options import GenerationOptions
from omni.remote.link import Link, NoEngineError, own_token, web_socket
from omni.remote.wire import (
    CHUNK_BYTES,
    MOST_BYTES,
    Ask,
    Done,
    Forget,
    GivenFile,
    Hello,
    Stop,
    Want,
    offered,
    pack,
)
from omni.requests import PrepareRequest, Request, TurnRequest, chosen
from omni.settings import EngineSettings, LoadReport

logger = logging.getLogger(__name__)
POLL_S = 0.05  # how often a stop signal is looked at
LOOK_S = 10.0  # between two looks at how the other end is
TOLD_S = 0.4  # between two words about a file that is sent
QUIET_S = 0.5  # a connection that is made within it is not worth a word
CONNECTING = Progress("check", 0, 0)
DIGESTS = 1000  # of files, that are remembered


class RemoteEngine(Engine):
    """Asks the engine at an address. Its model is chosen there; here only which adapter answers."""

    elsewhere = True

    def __init__(self, address: str, token: str | None = None) -> None:
        """Connects to nothing yet.

        Args:
            address: ``http://gpu1:8000``, https too.
            token: that the engine wants to hear; None: what the environment says.

        Raises:
            ResourceError: that is no address, or no token.
        """
        super().__init__()
        self._address = web_socket(address)
        self._token = own_token() if token is None else token
        self._hello: Hello | None = None
        self._absent = False  # at the last look
        self._over = threading.Event()

    @property
    def settings(self) -> EngineSettings:
        """What the other end has loaded, with the adapter that answers here."""
        return self._settings

    @settings.setter
    def settings(self, settings: EngineSettings) -> None:
        self._settings = self._followed(settings)

    @property
    def report(self) -> LoadReport | None:
        """What is loaded there; None: nothing, or nobody has asked yet."""
        return self._hello.report if self._hello else None

    @property
    def state(self) -> EngineState:
        """How it stood there when somebody last asked."""
        if self._absent:
            return "broken"
        return self._hello.state if self._hello else "idle"

    @property
    def default_options(self) -> GenerationOptions:
        """The checkpoint's own."""
        return self._hello.options if self._hello else GenerationOptions()

    @property
    def loading(self) -> Progress | None:
        """A load of the other end is not watched."""
        return None

    @property
    def busy(self) -> bool:
        """Nobody knows here: there may be any number of replicas, and more when they are needed."""
        return False

    def load(self, settings: EngineSettings | None = None) -> Iterator[Progress]:
        """Have the model there loaded, if it is not.

        Raises:
            ResourceError: ``remote-fixed``, other settings are asked for; nobody answers.
            OmniError: as loading does.
        """
        stop = threading.Event()
        self._heed(stop)
        try:
            link = yield from self._linked(None, "", stop)
            if link is None:
                return
            with link:
                wanted = self._followed(settings or self._settings)
                for event in self._asked(link, None, stop):
                    assert isinstance(event, Progress)
                    yield event
            self._settings = wanted
        finally:
            self._stops.discard(stop)

    def watch(self) -> None:
        """Look from time to time how the other end is, until :meth:`close`."""
        threading.Thread(target=self._watch, name="omni-remote-watch", daemon=True).start()

    def cancel_load(self) -> bool:
        """Loads of the other end are not ended here."""
        return False

    def unload(self) -> None:
        """The model is not this end's to free.

        Raises:
            ResourceError: ``remote-fixed``.
        """
        raise self._fixed()

    def keep(self) -> Generator[Progress, None, None]:
        """Keep the quantized weights: that is the other end's affair.

        Raises:
            ResourceError: ``remote-fixed``.
        """
        raise self._fixed()
        yield

    def run(self, request: Request) -> Iterator[EngineEvent]:
        """Have a request served there.

        Raises:
            NoEngineError, ReplicaLost: nobody is there, or not any more.
            OmniError: as the request's own.
        """
        if request.adapter is None:
            request = replace(request, adapter=self._settings.adapter)
        session = request.owner.session if request.owner else None
        if isinstance(request, (TurnRequest, PrepareRequest)) and request.session is not None:
            session = request.session
        self._heed(request.stop)
        try:
            link = yield from self._linked(session, request.adapter or "", request.stop)
            if link is None:
                yield stopped(request.started)
                return
            with link:
                if isinstance(request, TurnRequest):
                    options = chosen(request.options, link.hello.options)
                    request = replace(request, options=options)
                yield from self._asked(link, request, request.stop)
        finally:
            self._stops.discard(request.stop)

    def forget(self, session: str) -> None:
        """Have the other end drop what it keeps of ``session``, without waiting for it."""
        told = partial(self._forget, session)
        threading.Thread(target=told, name="omni-remote-forget", daemon=True).start()

    def close(self) -> None:
        """Stop everything."""
        self._over.set()
        super().close()

    def _followed(self, settings: EngineSettings) -> EngineSettings:
        """Settings that can be had here: the other end's, with one of its adapters or none.

        Raises:
            ResourceError, CheckpointError: others are asked for.
        """
        own = self._hello.settings if self._hello else self._settings
        if replace(settings, adapter=own.adapter, adapters=own.adapters) != own:
            raise self._fixed()
        adapter = settings.adapter and offered(settings.adapter, own.adapters)
        return replace(own, adapter=adapter)

    def _fixed(self) -> OmniError:
        return ResourceError(
            "remote-fixed",
            "The model is chosen, loaded and freed where the engine runs: here just its adapter "
            "can be changed.",
        )

    def _linked(
        self, session: str | None, adapter: str, stop: threading.Event
    ) -> Generator[Progress, None, Link | None]:
        """A connection; None: ``stop`` was set before there was one."""

        def connected(report: Report) -> Link:
            report(CONNECTING)
            link = Link(self._address, self._token, session or uuid.uuid4().hex, adapter)
            try:
                report(CONNECTING)
            except BaseException:  # nobody waits for it any more
                link.close()
                raise
            return link

        told = time.monotonic() + QUIET_S
        with closing(in_background(connected, wait_s=0)) as steps:
            while not stop.is_set():
                try:
                    progress = next(steps)
                except StopIteration as over:
                    link: Link = over.value
                    self._learn(link.hello)
                    return link
                except NoEngineError as error:
                    self._absent = True
                    if self._hello is None:
                        raise
                    # It was there before: the address is right, and is no visitor's to know.
                    logger.warning("%s", error)
                    raise NoEngineError(
                        "remote-gone", "The engine does not answer just now: ask again in a minute."
                    ) from error
                if time.monotonic() > told:
                    yield progress
        return None

    def _learn(self, hello: Hello) -> None:
        """How it stands there now; the adapter that was chosen here stays."""
        first = self._hello is None
        own = hello.settings.adapter if first else self._settings.adapter
        adapter = own if own in hello.settings.adapters else ""
        self._hello, self._absent = hello, False
        self._settings = replace(hello.settings, adapter=adapter)

    def _asked(
        self, link: Link, request: Request | None, stop: threading.Event
    ) -> Generator[EngineEvent, None, None]:
        """What comes back for a request; None: of loading."""
        began = request.started if request is not None else time.perf_counter()
        paths: list[Path] = []
        pack(request, paths)
        files = tuple(map(given_file, paths))
        asked = pack(Ask(request, files), paths)
        if len(asked) > MOST_BYTES:
            raise ConversationError(
                "remote-too-long",
                "This is more text than an engine elsewhere takes at once ({megabytes} MB): "
                "give less.",
                megabytes=MOST_BYTES // 2**20,
            )
        link.send(asked)
        told, first_text, first_sound = False, None, None
        while True:
            if stop.is_set() and not told:
                link.send(Stop())
                told = True
            try:
                event = link.receive(POLL_S)
            except TimeoutError:
                continue
            now = time.perf_counter() - began
            if isinstance(event, Done):
                self._learn(event.hello)
                return
            if isinstance(event, Want):
                yield from self._send(link, [(paths[n], files[n]) for n in event.numbers])
                continue
            if isinstance(event, TextDelta) and first_text is None:
                first_text = now
            elif isinstance(event, SpeechChunk) and first_sound is None:
                first_sound = now
            elif isinstance(event, TurnEnd):
                event = _as_noticed(event, now, first_text, first_sound)
            yield event

    def _send(
        self, link: Link, wanted: list[tuple[Path, GivenFile]]
    ) -> Generator[Progress, None, None]:
        """Send files."""
        total = sum(file.size for _, file in wanted)
        sent, told = 0, 0.0
        for path, file in wanted:
            left = file.size
            with path.open("rb") as opened:
                while left:
                    piece = opened.read(min(CHUNK_BYTES, left))
                    if not piece:
                        raise _changed(path)
                    link.send(piece)
                    left -= len(piece)
                    sent += len(piece)
                    if time.monotonic() > told + TOLD_S:
                        told = time.monotonic()
                        yield Progress("encode", sent, total, "bytes")

    def _forget(self, session: str) -> None:
        try:
            with Link(self._address, self._token, session, "") as link:
                link.send(Forget(session))
        except OmniError as error:
            logger.info("a session could not be forgotten there: %s", error)

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            try:
                with Link(self._address, self._token, uuid.uuid4().hex, "") as link:
                    self._learn(link.hello)
            except OmniError as error:
                self._absent = True
                logger.info("the engine does not answer: %s", error)


def given_file(path: Path) -> GivenFile:
    """A file as it is named to the other end; what is wrong with it is found out there.

    Raises:
        MediaError: it is larger than may be sent.
    """
    try:
        found = path.stat()
    except OSError:
        return GivenFile(path.name, -1, "")
    if not path.is_file():
        return GivenFile(path.name, -1, "")
    if found.st_size > limits().file_bytes:
        readable_file(path)  # says so
    return GivenFile(path.name, found.st_size, _digest(path, found.st_size, found.st_mtime_ns))


@lru_cache(DIGESTS)
def _digest(path: Path, size: int, modified_ns: int) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _changed(path: Path) -> OmniError:
    return MediaError(
        "remote-file-changed",
        "{name} was changed while it was sent: add it again.",
        name=path.name,
    )


def _as_noticed(
    end: TurnEnd, now: float, first_text: float | None, first_sound: float | None
) -> TurnEnd:
    """The end of a turn with the times of whoever asked: the way there and back takes time, too."""
    own = end.stats
    times: dict[str, Any] = {
        "total_s": now,
        "waited_s": own.waited_s + max(0.0, now - own.total_s),
        "first_text_s": first_text,
        "first_sound_s": first_sound,
    }
    return replace(end, stats=replace(own, **times))
