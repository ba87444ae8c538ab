"""ZeroGPU Spaces: a GPU that many Spaces share, lent for a turn at a time.

Knows: the package ``spaces``, what it lends for how long, how a turn gets there and back.
Does not know: what the model does.

There is no GPU while the program starts. ``spaces`` lets torch believe in one, writes what was
moved there to a file when the page is launched, and runs a function that asks for the GPU in a
process of its own, forked from this one, with those weights on a real card. So the model is loaded
before the page is there, a turn is one generator, and nothing is kept from turn to turn. Live,
which asks for the model without pressing, is left out.

How long a turn may take is said before it begins, and is booked on the visitor's own quota: the
numbers below are guesses by the 7B model's steps, which nobody has timed on this hardware.
"""

from __future__ import annotations

import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from omni.conversation import Audio, Conversation, Image, Video
from omni.engine import Engine, TurnRunner
from omni.errors import BusyError, OmniError
from omni.events import EngineEvent, Progress, SpeechChunk, TextDelta, TurnEnd, stopped
from omni.fair_queue import LineLimits
from omni.options import GenerationOptions
from omni.replicas.wire import Refused
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

VARIABLE = "SPACES_ZERO_GPU"  # which ZeroGPU sets
DEVICE = "cuda"
DTYPE = "bfloat16"  # bitsandbytes quantizes when weights reach a card, and here none is

# Seconds of a turn on the GPU.
WEIGHTS_S = 10  # 24 GB from the file to the card
TEXT_S, SPEECH_S = 20, 60  # an answer
MEDIUM_S = 3  # a picture, a clip or a recording to read
SHORTEST_S, LONGEST_S = 20, 120
END_S = 3  # before a turn must be over, it is told to come to its end
POLL_S = 0.1  # how often a turn's stop signal is carried over

_loaded: TurnRunner | None = None  # which a forked process finds


class Signal(threading.Event):
    """A stop signal that is a file, and so one signal for two processes. In any case it is set
    ``longest_s`` after :meth:`begin`.
    """

    def __init__(self, path: Path, longest_s: float) -> None:
        super().__init__()
        self.path, self.longest_s = path, longest_s
        self._until = math.inf

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.longest_s)

    def begin(self) -> None:
        """The work begins, in this process; it may have waited for long."""
        self._until = time.monotonic() + self.longest_s

    def is_set(self) -> bool:
        return self.path.exists() or time.monotonic() > self._until

    def set(self) -> None:
        self.path.touch()


def lent() -> bool:
    """Whether this is a ZeroGPU Space."""
    return os.environ.get(VARIABLE, "").lower() in ("1", "t", "true")


def begin() -> None:
    """Have ``spaces`` stand in for the GPU; before anything imports torch, after Gradio."""
    import spaces

    global _on_gpu
    _on_gpu = spaces.GPU(duration=seconds)(_turn)


def engine(settings: EngineSettings, line: LineLimits | None = None) -> Engine:
    """An engine whose model is loaded, for the page that is launched next.

    Raises:
        CheckpointError, ResourceError: it cannot be loaded.
    """
    own = replace(settings, quantization="none", compile="off", session_bytes=0)
    made = Engine(own, loader, line)
    for _ in made.load():
        pass
    return made


def loader(
    settings: EngineSettings, make_room: Callable[[], None]
) -> Generator[Progress, None, TurnRunner]:
    """As :data:`omni.engine.Loader`. Ends in the thread that called :func:`begin`: ``spaces``
    stands in for the GPU there alone, and so the weights are read elsewhere and moved here.
    """
    from omni.assistant import Assistant
    from omni.loading import load as loading

    loaded = yield from loading.load(replace(settings, device="cpu", dtype=DTYPE), make_room)
    for module in (loaded.model, loaded.vocoder):
        for tensor in (*module.parameters(), *module.buffers()):
            if not tensor.is_meta:  # what no turn needs was not read
                tensor.data = tensor.data.to(DEVICE)
    report = replace(loaded.report, device=DEVICE, device_reason="ZeroGPU lends it for each turn")
    return Lent(Assistant(replace(loaded, report=report), settings))


class Lent:
    """A runner whose turns run on a GPU that is lent for each."""

    def __init__(self, runner: TurnRunner) -> None:
        global _loaded
        self._runner = _loaded = runner

    @property
    def report(self) -> LoadReport:
        """What was loaded."""
        return self._runner.report

    @property
    def default_options(self) -> GenerationOptions:
        """The checkpoint's own."""
        return self._runner.default_options

    def run(self, request: Request) -> Iterator[EngineEvent]:
        """Serve a request on the GPU.

        Raises:
            BusyError: ``gpu-refused``, none is free or the visitor's time is used up;
                ``gpu-cut-off`` or ``gpu-lost``, it was gone before there was an answer.
            OmniError: as the request's own.
        """
        import gradio as gr

        if request.behind:  # nobody waits for it: no GPU is booked, and no visitor's time
            yield stopped(request.started)
            return
        with _carried(request) as sent:
            try:
                with closing(_on_gpu(sent)) as events:
                    yield from _whole(events, request)
            except gr.Error as error:
                raise BusyError(
                    "gpu-refused",
                    "The shared GPU did not take this question: {reason}",
                    reason=" ".join(str(error.message).split()),
                ) from error

    def forget(self, session: str) -> None:
        """Nothing is kept."""

    def hold_adapters(self, names: Sequence[str]) -> Iterator[Progress]:
        """Have just these adapters beside the model."""
        return self._runner.hold_adapters(names)

    def keep(self) -> Iterator[Progress]:
        """Nothing is quantized here."""
        return self._runner.keep()


def _whole(
    events: Iterator[EngineEvent | Refused], request: Request
) -> Generator[EngineEvent, None, None]:
    """The events of a turn, which has an end; one that its time cut off says so.

    A process that has little of the CPU may come to the end of its time with nothing said.
    """
    end: TurnEnd | None = None
    said = False
    for event in events:
        if isinstance(event, Refused):
            raise event.error()
        if isinstance(event, TurnEnd):
            end = event
            continue
        said = said or isinstance(event, (TextDelta, SpeechChunk))
        yield event
    if end is None:
        raise BusyError(
            "gpu-lost", "The shared GPU was taken back before the answer was whole: ask again."
        )
    if end.reason == "stopped" and not request.stop.is_set():  # nobody did: its time was over
        if not said and not isinstance(request, PrepareRequest):
            raise BusyError(
                "gpu-cut-off",
                "The time on the shared GPU was over before the answer began: ask again, or for "
                "something shorter.",
            )
        end = replace(end, reason="limit")
    yield end


def _turn(request: Request) -> Generator[EngineEvent | Refused, None, None]:
    """A turn, in the process that has the GPU."""
    assert _loaded is not None
    if isinstance(request.stop, Signal):
        request.stop.begin()
    try:
        yield from _loaded.run(request)
    except OmniError as error:
        yield Refused.of(error)


_on_gpu = _turn  # :func:`begin` has it run where the GPU is


def seconds(request: Request) -> int:
    """How long a request may take on the GPU."""
    spoken = isinstance(request, ReadAloudRequest | ReadLinesRequest)
    media = 1 if isinstance(request, TranscribeRequest) else 0
    if isinstance(request, TurnRequest):
        assert isinstance(request.options, GenerationOptions)
        spoken, media = request.options.speech, media_in(request.conversation)
    needed = WEIGHTS_S + MEDIUM_S * media + (SPEECH_S if spoken else TEXT_S) + END_S
    return min(max(needed, SHORTEST_S), LONGEST_S)


def media_in(conversation: Conversation) -> int:
    """Files that a turn reads, those of the history too."""
    parts = [part for message in conversation.messages for part in message.parts]
    return sum(isinstance(part, (Audio, Image, Video)) for part in parts)


@contextmanager
def _carried(request: Request) -> Iterator[Request]:
    """A request in a form that travels: plain options, and a signal that two processes see."""
    sent: Any = request
    if isinstance(request, TurnRequest):
        assert _loaded is not None
        own = chosen(request.options, _loaded.default_options)
        sent = replace(request, options=own, session=None)  # the next turn is another process's
    over = threading.Event()
    with tempfile.TemporaryDirectory(prefix="omni-turn-") as folder:
        signal = Signal(Path(folder) / "stop", seconds(sent) - END_S)

        def carry() -> None:
            while not over.is_set():
                if request.stop.wait(POLL_S):
                    signal.set()
                    return

        watcher = threading.Thread(target=carry, name="omni-stop", daemon=True)
        watcher.start()
        try:
            yield replace(sent, stop=signal)
        finally:
            over.set()
            watcher.join()
