"""Everything of Gradio's that this program uses although it is not public.

Knows: Gradio's insides, and which version of it they were tried with.
Does not know: anything of the page. Importing this file does not import Gradio.

Each use has a test of its own (tests/demos/base/test_gradio_internals.py) that says what is gone
when a new Gradio no longer has it. The browser's side (selectors, names of Gradio's own elements)
is collected in assets/ in the same way.
"""

from __future__ import annotations

import functools
import inspect
import logging
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import gradio as gr
    from gradio.audio_stream_encoder import AacStreamEncoder
    from gradio.blocks import Block
    from gradio.i18n import I18nData

    # A label, the same in every language or translated in the browser. Gradio's type for the
    # latter is not among its public names.
    Label: TypeAlias = str | I18nData

log = logging.getLogger(__name__)

TESTED_GRADIO = "6.31.0"

# Words that Gradio's own components ask for and Gradio has in no language: the gallery's camera
# button.
MISSING_WORD = "common.webcam"

# The page asks for the stream as soon as the first chunk was handed over. If the encoder has not
# made anything of it by then, the page asks again only a second later; if it has made a little,
# the page plays that and then waits as long. So wait for all that the encoder makes of a chunk.
ENCODER_STARTUP_S = 1.0  # for its process to start, at most
ENCODER_SETTLE_S = 0.02  # without a new frame: that was all


def check_version(found: str | None = None) -> None:
    """Warn once, in the log, when Gradio is not the version that all this was tried with.

    Args:
        found: its version; None: of the one that is installed.
    """
    found = found or version("gradio")
    if found != TESTED_GRADIO:
        log.warning(
            "Gradio %s is installed, and the page was tried with %s: if something of it does not "
            "work, install that version.",
            found,
            TESTED_GRADIO,
        )


def tell_few(page: gr.Blocks) -> None:
    """Let the events of a page tell nobody how far they are but a chat that they write into.

    At every step of any event Gradio's page hands the state of all events that ever ran to all
    components that these write into, each found by walking through the whole page and with a copy
    of all that it holds: that was half of the browser's work from a question to its answer. Whoever
    names components by ``show_progress_on`` has them told as before.
    """
    from gradio import Chatbot

    for event in page.fns.values():
        if event.show_progress_on is None:
            event.show_progress_on = [one for one in event.outputs if isinstance(one, Chatbot)]


def import_gradio() -> None:
    """Import Gradio in half the time; once it is imported this does nothing.

    For each of its 80 components Gradio parses the component's source and writes a type stub
    beside it, for editors. That is half of its import. It is left out for classes whose source
    cannot be found, and so we tell it that none can.
    """
    find = inspect.getfile

    def no_source(object: Any) -> str:  # the library's argument name
        if isinstance(object, type) and object.__module__.startswith("gradio."):
            raise OSError("not needed to run")
        return find(object)

    inspect.getfile = no_source
    try:
        import gradio  # noqa: F401
    finally:
        inspect.getfile = find


def encode_whole_chunks() -> None:
    """Let Gradio's streaming player get all of a chunk's sound at once; without this it starts
    late. Doing it again changes nothing.
    """
    from gradio import audio_stream_encoder
    from gradio.audio_stream_encoder import AacStreamEncoder

    take = AacStreamEncoder.take
    if getattr(take, "takes_all", False):
        return

    def take_all(encoder: AacStreamEncoder, timeout: float | None = None) -> list[bytes]:
        """Like ``take``, which returns with the first frames that are there."""
        frames = take(encoder, timeout)
        while frames and (more := take(encoder, ENCODER_SETTLE_S)):
            frames += more
        return frames

    take_all.takes_all = True  # type: ignore[attr-defined]
    audio_stream_encoder.STARTUP_WAIT = ENCODER_STARTUP_S
    AacStreamEncoder.take = take_all  # type: ignore[method-assign, assignment]


def keep_uploads_apart() -> None:
    """Give every upload a folder of its own, from the next one on.

    Gradio names the folder after the content. Two visitors who give the same file would share it,
    and what one of them leaves behind is removed with their session.
    """
    from gradio import route_utils

    class Upload(route_utils.GradioUploadFile):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self.sha.update(secrets.token_bytes(16))

    if route_utils.GradioUploadFile.__name__ != Upload.__name__:
        setattr(route_utils, "GradioUploadFile", Upload)  # noqa: B010 - a class, for mypy


_uploading: ContextVar[list[Any] | None] = ContextVar("uploading", default=None)


@contextmanager
def uploading() -> Iterator[list[Any]]:
    """The temporary files that an upload is written to while this lasts. One that came to its end
    was renamed; what is still there under the name that it has here is of no use to anybody.
    """
    files: list[Any] = []
    token = _uploading.set(files)
    try:
        yield files
    finally:
        _uploading.reset(token)


def watch_uploads() -> None:
    """Let :func:`uploading` know of uploads, from the next one on; doing it again changes nothing.

    Gradio removes the files of just those uploads that it refuses itself.
    """
    from gradio import route_utils

    class Parser(route_utils.GradioMultiPartParser):
        async def parse(self) -> Any:
            """Gradio's."""
            files = _uploading.get()
            if files is not None:  # the list grows while it is filled
                self._files_to_close_on_error = files
            try:
                return await super().parse()
            except BaseException:
                if self.upload_progress is not None and self.upload_id is not None:
                    self.upload_progress.set_done(self.upload_id)  # nobody waits for more of it
                raise

    if route_utils.GradioMultiPartParser.__name__ != Parser.__name__:
        setattr(route_utils, "GradioMultiPartParser", Parser)  # noqa: B010 - a class, for mypy


def leave_no_empty_files() -> None:
    """Have Gradio's file inputs make no empty temporary file for every file that they get, which
    nobody uses or removes. Doing it again changes nothing.
    """
    from gradio.components import file, upload_button

    unused = SimpleNamespace(NamedTemporaryFile=lambda **_: SimpleNamespace(name=""))
    for module in (file, upload_button):
        vars(module)["tempfile"] = unused


def believe_files_without_ffprobe() -> None:
    """Have Gradio hand out sound and clips also where no program ffprobe is (imageio-ffmpeg brings
    ffmpeg alone). It asks it whether browsers can play a file, and takes a file that cannot be
    asked about for one that can; only that nobody is there to be asked is a fault to it. Doing it
    again changes nothing.
    """
    from gradio import processing_utils
    from gradio._vendor.ffmpy import FFExecutableNotFoundError

    def believing(ask: Callable[[str], bool]) -> Callable[[str], bool]:
        @functools.wraps(ask)
        def playable(path: str) -> bool:
            try:
                return ask(path)
            except FFExecutableNotFoundError:
                return True

        return playable

    for name in ("audio_is_playable", "video_is_playable"):
        ask = getattr(processing_utils, name)
        if not hasattr(ask, "__wrapped__"):
            setattr(processing_utils, name, believing(ask))


def light_sessions() -> None:
    """Have Gradio keep less of each session: half a megabyte is a description of every component,
    from which it makes links to a state of the page (this page has none of these), and it stays
    until thousands of others have come. Doing it again changes nothing.
    """
    from gradio import state_holder

    class Light(state_holder.SessionState):
        def __init__(self, blocks: Any) -> None:
            # Descriptions are made of what is among ``blocks``.
            super().__init__(SimpleNamespace(default_config=blocks.default_config, blocks=()))  # type: ignore[arg-type]

        def __setitem__(self, key: int, value: Any) -> None:
            super().__setitem__(key, value)
            self.config_values.clear()

    if state_holder.SessionState.__name__ != Light.__name__:
        setattr(state_holder, "SessionState", Light)  # noqa: B010 - a class, for mypy


def unheard(page: gr.Blocks) -> dict[str, object]:
    """The sessions (by Gradio's hash) to which the server has news of their events that nobody
    has fetched yet, each with its oldest message. A listener fetches: where that message stays the
    same, nobody is there.
    """
    queue = page._queue
    return {
        session: messages._queue[0]
        for session, events in tuple(queue.pending_event_ids_session.items())
        if events
        and (messages := queue.pending_messages_per_session.get(session)) is not None
        and messages.qsize()
    }


def end_silent_connections(page: gr.Blocks, seconds: float) -> None:
    """Have the system end connections whose other side confirms nothing for so many ``seconds``;
    Gradio sends something every 15 s to who listens. Where the system cannot, nothing happens.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    for server in page.server.servers:
        for listener in server.sockets:  # those that it accepts are like it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))


def rest_queue(page: gr.Blocks, seconds: float) -> None:
    """Let Gradio look into its empty queue every so many ``seconds``.

    Its own 1 ms takes a tenth of a slow core for ever. The page's queue must be there
    (``page.queue()``).
    """
    page._queue.sleep_when_free = seconds


def in_browser_order(components: Iterable[Block]) -> list[Block]:
    """Components of a set in the order in which browser code gets and gives their values.

    Gradio's Python side names the values of a set of components, its browser side counts them.
    """
    return sorted(components, key=lambda component: component._id)
