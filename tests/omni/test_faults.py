"""A fault in any phase of a turn or of a load: it is told once, and the next turn is as ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from omni.conversation import Audio, Conversation, Image, Message, Part, Text, Video
from omni.engine import Engine, EngineSettings
from omni.errors import OmniError, ResourceError
from omni.events import EngineEvent, Progress, SpeechChunk, TextDelta, TurnEnd
from omni.loading import load as loading
from omni.media import sound_blocks
from omni.media.limits import MediaLimits, limits, set_limits
from omni.model.omni import OmniForCausalLM
from omni.options import GenerationOptions
from omni.speech.decoder import SpeechDecoder
from tests.support.checkpoints import write_checkpoint
from tests.support.in_memory import models
from tests.support.media_files import write_clip
from tests.support.root import ROOT

OPTIONS = GenerationOptions(seed=1)
LIMITS = {"text_tokens": 4, "audio_frames": 14, "rounds": 2}
SESSION = "visitor"


class Fault(Exception):
    """Nobody expects it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(
        tmp_path_factory.mktemp("tiny"),
        omni={"limits": LIMITS, "options": {"first_text": {"temperature": 2.5}}},
    )


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    engine = Engine(EngineSettings(str(folder), device="cpu"))
    list(engine.load())
    return engine


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> Conversation:
    """With something for every decoder."""
    folder = tmp_path_factory.mktemp("media")
    copyfile(ROOT / "examples" / "capital_en.flac", folder / "talk.flac")
    Pillow.new("RGB", (90, 60), "red").save(folder / "p.png")
    write_clip(folder / "v.mp4", [index / 2 for index in range(5)])
    return asked(
        Audio(folder / "talk.flac"), Image(folder / "p.png"), Video(folder / "v.mp4"), Text("What?")
    )


def asked(*parts: Part) -> Conversation:
    return Conversation(messages=(Message("user", parts),))


def told(events: list[EngineEvent]) -> tuple[str, bytes, str]:
    """Text, sound and end of an answer."""
    end = events[-1]
    assert isinstance(end, TurnEnd)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    chunks = [event.samples for event in events if isinstance(event, SpeechChunk)]
    return text, np.concatenate(chunks).tobytes(), end.reason


@pytest.fixture(scope="module")
def right(engine: Engine, question: Conversation) -> tuple[str, bytes, str]:
    """The answer that the question gets where nothing fails."""
    return told(list(engine.turn(question, OPTIONS)))


def fails_at(count: int, work: Callable[..., Any], error: BaseException) -> Callable[..., Any]:
    """``work`` whose call number ``count``, from 1, raises ``error``."""
    calls = 0

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            raise error
        return work(*arguments, **named)

    return wrapped


# What is made to fail, and at which call: the first one, and one when words or sound are out.
PHASES: dict[str, tuple[Any, str, int]] = {
    "sound decoder": (sound_blocks, "_libsndfile", 1),
    "encode sound": (OmniForCausalLM, "encode_audio", 1),
    "encode pictures": (OmniForCausalLM, "encode_images", 1),
    "prompt": (OmniForCausalLM, "embed", 1),
    "prefill": (OmniForCausalLM, "hidden", 1),
    "text": (OmniForCausalLM, "hidden", 3),
    "audio": (OmniForCausalLM, "embed_codes", 1),
    "audio, later": (OmniForCausalLM, "embed_codes", 9),
    "decode": (SpeechDecoder, "push", 1),
    "decode, later": (SpeechDecoder, "push", 12),
    "decode, at the end": (SpeechDecoder, "finish", 1),
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("memory", [False, True], ids=["fault", "memory"])
def test_a_fault_in_a_phase_costs_its_turn_alone(
    engine: Engine,
    question: Conversation,
    right: tuple[str, bytes, str],
    monkeypatch: pytest.MonkeyPatch,
    phase: str,
    memory: bool,
) -> None:
    owner, name, count = PHASES[phase]
    error = MemoryError() if memory else Fault(phase)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails_at(count, getattr(owner, name), error))
        with pytest.raises(ResourceError if memory else Fault) as caught:
            list(engine.turn(question, OPTIONS, session=SESSION))
    if memory:
        assert isinstance(caught.value, ResourceError)
        assert caught.value.code == "memory-out"
    assert not engine.busy
    assert told(list(engine.turn(question, OPTIONS, session=SESSION))) == right
    engine.forget(SESSION)


@pytest.mark.parametrize("kind", [Progress, TextDelta, SpeechChunk])
@pytest.mark.parametrize("how", ["closed", "stopped"])
def test_a_listener_who_leaves_in_a_phase_costs_nobody(
    engine: Engine,
    question: Conversation,
    right: tuple[str, bytes, str],
    kind: type[EngineEvent],
    how: str,
) -> None:
    stop = threading.Event()
    turn = engine.turn(question, OPTIONS, stop, session=SESSION)
    assert isinstance(next(event for event in turn if isinstance(event, kind)), kind)
    if how == "closed":
        turn.close()  # type: ignore[attr-defined]
    else:
        stop.set()
        end = list(turn)[-1]
        assert isinstance(end, TurnEnd) and end.reason == "stopped"
    assert not engine.busy
    assert told(list(engine.turn(question, OPTIONS, session=SESSION))) == right
    engine.forget(SESSION)


@contextmanager
def bounds(new: MediaLimits) -> Iterator[None]:
    before = limits()
    set_limits(new)
    try:
        yield
    finally:
        set_limits(before)


def test_decoders_that_never_end_are_given_up(
    engine: Engine, question: Conversation, right: tuple[str, bytes, str]
) -> None:
    """A decoder that is too slow is told of, whichever it is, and the next turn is as ever."""
    for part in question.messages[0].parts[:3]:
        with bounds(MediaLimits(decode_s=-1.0)), pytest.raises(OmniError) as caught:
            list(engine.turn(asked(part), OPTIONS))
        assert caught.value.code == "media-too-slow"
        assert not engine.busy
    assert told(list(engine.turn(question, OPTIONS))) == right


# What a load does, from its beginning to its end.
LOADS: dict[str, tuple[Any, str]] = {
    "check": (loading, "read_config"),
    "read": (loading, "settle"),
    "vocoder": (loading, "load_vocoder"),
    "warm": (SpeechDecoder, "push"),
}


# A fault at one moment and missing memory at the next; the other way round when there is time.
BROKEN_LOADS = [
    pytest.param(
        moment,
        memory,
        id=f"{'memory' if memory else 'fault'}-{moment}",
        marks=[] if memory == bool(place % 2) else pytest.mark.slow,
    )
    for place, moment in enumerate(LOADS)
    for memory in (False, True)
]


@pytest.mark.parametrize(("moment", "memory"), BROKEN_LOADS)
def test_a_load_that_fails_in_its_middle_leaves_no_model(
    folder: Path,
    question: Conversation,
    right: tuple[str, bytes, str],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    memory: bool,
) -> None:
    before = len(models())
    engine = Engine(EngineSettings(str(folder), device="cpu"))
    owner, name = LOADS[moment]
    error = MemoryError() if memory else Fault(moment)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails_at(1, getattr(owner, name), error))
        with pytest.raises(ResourceError if memory else Fault):
            list(engine.load())
    assert engine.report is None and engine.loading is None and not engine.busy
    assert len(models()) == before, "while the error lives"
    assert told(list(engine.turn(question, OPTIONS))) == right
