"""Turns of a real, tiny, random model: events, numbers, and what is left behind."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
from PIL import Image as Pillow

from omni.assistant import Assistant
from omni.conversation import (
    Audio,
    Conversation,
    Image,
    Message,
    Speech,
    SystemPrompt,
    Text,
    Video,
    VoicePrompt,
)
from omni.engine import Engine, EngineSettings
from omni.errors import ConversationError, MediaError
from omni.events import (
    SPEECH_RATE,
    EngineEvent,
    Progress,
    SpeechChunk,
    TextDelta,
    TurnEnd,
)
from omni.model import omni
from omni.model.layers.key_values import KeyValues
from omni.options import READING, TRANSCRIBING, GenerationOptions
from tests.support.checkpoints import write_checkpoint
from tests.support.media_files import tone, write_clip, write_sound
from tests.support.root import DATA, ROOT

LIMITS = {"text_tokens": 4, "audio_frames": 14, "rounds": 2}
OPTIONS = GenerationOptions(seed=1)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = write_checkpoint(
        tmp_path_factory.mktemp("tiny"),
        omni={"limits": LIMITS, "options": {"first_text": {"temperature": 2.5}}},
    )
    engine = Engine(EngineSettings(str(folder), device="cpu"))
    list(engine.load())
    return engine


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    write_sound(folder / "a.wav", tone(1.0))
    copyfile(ROOT / "examples" / "capital_en.flac", folder / "talk.wav")
    copyfile(DATA / "speech.ogg", folder / "voice.wav")
    write_clip(folder / "v.mp4", [index / 2 for index in range(5)])
    Pillow.new("RGB", (90, 60), "red").save(folder / "p.png")
    return folder


def say(*parts: object, **system: object) -> Conversation:
    message = Message("user", tuple(parts) or (Text("hello"),))  # type: ignore[arg-type]
    return Conversation(SystemPrompt(**system), (message,))  # type: ignore[arg-type]


def end_of(events: list[EngineEvent]) -> TurnEnd:
    assert isinstance(events[-1], TurnEnd)
    assert not any(isinstance(event, TurnEnd) for event in events[:-1])
    return events[-1]


def sound_of(events: list[EngineEvent]) -> np.ndarray:
    chunks = [event.samples for event in events if isinstance(event, SpeechChunk)]
    assert all(chunk.dtype == np.int16 and chunk.ndim == 1 and len(chunk) for chunk in chunks)
    return np.concatenate([np.zeros(0, np.int16), *chunks])


def test_sound_comes_while_codes_come(engine: Engine) -> None:
    events = list(engine.turn(say(), OPTIONS))
    kinds = [type(event) for event in events]
    end = end_of(events)
    assert end.reason == "limit", "random weights know no end"
    assert kinds.index(SpeechChunk) < len(kinds) - 1 - kinds[::-1].index(TextDelta)
    assert kinds.count(SpeechChunk) > 2, "several chunks, not one at the end"


def test_the_message_is_what_was_said(engine: Engine) -> None:
    events = list(engine.turn(say(), OPTIONS))
    message = end_of(events).message
    assert message.role == "assistant" and message.spoken
    assert [type(part) for part in message.parts] == [Text, Speech, Text, Speech]
    shown = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert shown == "".join(part.text for part in message.parts if isinstance(part, Text))


def test_the_numbers_agree(engine: Engine) -> None:
    start = time.perf_counter()
    events = list(engine.turn(say(), OPTIONS))
    total = time.perf_counter() - start
    stats = end_of(events).stats
    parts = end_of(events).message.parts
    ids = sum(len(part.ids or ()) for part in parts if isinstance(part, Text))
    frames = sum(len(part.codes) for part in parts if isinstance(part, Speech))  # type: ignore[arg-type]
    assert (stats.text_tokens, stats.audio_frames) == (ids, frames) == (8, 28)
    assert stats.speech_s == len(sound_of(events)) / SPEECH_RATE
    # 4 L - 1 mel frames of 20 ms for L codes, less a cross-fade of 10 ms
    assert stats.speech_s == pytest.approx(2 * (4 * 14 - 1) * 0.02 - 0.01)
    assert stats.first_text_s is not None and stats.first_sound_s is not None
    assert 0 < stats.first_text_s < stats.first_sound_s < stats.total_s <= total
    spent = stats.encode_s, stats.prefill_s, stats.text_s, stats.audio_s, stats.vocode_s
    # Sound may be made beside the steps, so that the parts overlap.
    assert all(seconds > 0 for seconds in spent)
    assert sum(spent[:-1]) <= stats.total_s and stats.vocode_s <= stats.total_s
    assert stats.seed == 1 and stats.prompt_tokens > 10


def test_text_alone(engine: Engine) -> None:
    events = list(engine.turn(say(), replace(OPTIONS, speech=False)))
    end = end_of(events)
    assert not len(sound_of(events)) and not end.message.spoken
    assert end.stats.first_sound_s is None and end.stats.real_time_factor is None
    assert end.stats.text_tokens == LIMITS["text_tokens"]


def test_the_checkpoints_own_options(engine: Engine) -> None:
    options = engine.default_options
    assert options.first_text.temperature == 2.5
    assert (options.audio.max_new, options.max_rounds) == (14, 2)
    end = end_of(list(engine.turn(say())))
    again = end_of(list(engine.turn(say(), replace(options, seed=end.stats.seed))))
    assert again.message.parts[0] == end.message.parts[0]


def test_every_kind_of_media(engine: Engine, files: Path) -> None:
    plain = end_of(list(engine.turn(say(), OPTIONS)))
    parts = Image(files / "p.png"), Video(files / "v.mp4"), Audio(files / "a.wav"), Text("?")
    voice = VoicePrompt(files / "voice.wav")
    events = list(engine.turn(say(*parts, voice=voice), OPTIONS))
    encoding = [event for event in events if isinstance(event, Progress)]
    assert encoding == [Progress("encode", 0, 4), Progress("encode", 4, 4)]
    assert events.index(encoding[1]) == 1, "before the first word"
    assert end_of(events).stats.prompt_tokens > plain.stats.prompt_tokens + 2 * 12
    silent = list(engine.turn(say(*parts, voice=voice), replace(OPTIONS, speech=False)))
    assert silent[0] == Progress("encode", 0, 3), "no voice prompt without speech"


def test_a_history(engine: Engine) -> None:
    conversation = say()
    counts = []
    for _ in range(3):
        end = end_of(list(engine.turn(conversation, OPTIONS)))
        counts.append(end.stats.prompt_tokens)
        conversation = conversation.plus(end.message, Message("user", (Text("and?"),)))
    assert counts[0] < counts[1] < counts[2]
    assert counts[1] - counts[0] >= 28 + 8, "codes and text are in the history"


def test_transcribing(engine: Engine, files: Path) -> None:
    events = list(engine.transcribe(files / "talk.wav", options=replace(TRANSCRIBING, seed=1)))
    assert events[0] == Progress("encode", 0, 1)
    end = end_of(events)
    assert end.stats.text_tokens == LIMITS["text_tokens"] and not len(sound_of(events))
    assert end.message.parts and not end.message.spoken


@pytest.mark.parametrize("text", ["One, two, three and some more.", "一二三，四五六。"])
def test_reading_aloud(engine: Engine, files: Path, text: str) -> None:
    options = replace(READING, seed=1)
    alone = end_of(list(engine.read_aloud(text, options=options)))
    assert alone.stats.audio_frames > 0 and alone.message.spoken
    voices = (
        VoicePrompt(files / "voice.wav"),
        VoicePrompt(files / "voice.wav", "example", "what it says"),
    )
    for voice in voices:
        end = end_of(list(engine.read_aloud(text, voice=voice, options=options)))
        assert end.stats.prompt_tokens > alone.stats.prompt_tokens + 12


@pytest.mark.parametrize("kind", [TextDelta, SpeechChunk])
def test_stop_within_one_step(engine: Engine, kind: type) -> None:
    stop = threading.Event()
    turn = engine.turn(say(), OPTIONS, stop)
    for event in turn:
        if isinstance(event, kind):
            stop.set()
            break
    rest = list(turn)
    assert [type(event) for event in rest] == [TurnEnd]
    end = end_of(rest)
    assert end.reason == "stopped" and end.message.parts
    full = end_of(list(engine.turn(say(), OPTIONS)))
    assert end.stats.audio_frames < full.stats.audio_frames


def test_nothing_of_a_turn_stays(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    caches: list[weakref.ref[KeyValues]] = []

    class Watched(KeyValues):
        def __init__(self, layers: int) -> None:
            super().__init__(layers)
            caches.append(weakref.ref(self))

    monkeypatch.setattr(omni, "KeyValues", Watched)
    list(engine.turn(say(), OPTIONS))
    turn = engine.turn(say(), OPTIONS)
    assert isinstance(next(turn), TextDelta)
    turn.close()  # type: ignore[attr-defined]
    gc.collect()
    assert len(caches) >= 2 and not any(cache() for cache in caches)
    assert not engine.busy


def test_mistakes_leave_the_engine_usable(engine: Engine, files: Path) -> None:
    (files / "text.png").write_text("no picture")
    wrong: list[tuple[Conversation, type[Exception]]] = [
        (say(Audio(files / "missing.wav")), MediaError),
        (say(Image(files / "text.png")), MediaError),
        (Conversation(), ConversationError),
        (say(Text("word " * 5000)), ConversationError),
    ]
    for conversation, error in wrong:
        with pytest.raises(error):
            list(engine.turn(conversation, OPTIONS))
        assert not engine.busy
    assert end_of(list(engine.turn(say(), OPTIONS))).stats.text_tokens == 8


def test_two_people_at_once(engine: Engine) -> None:
    alone = [end_of(list(engine.turn(say(Text(text)), OPTIONS))) for text in ("one", "two")]
    ends: dict[str, TurnEnd] = {}

    def ask(text: str) -> None:
        ends[text] = end_of(list(engine.turn(say(Text(text)), OPTIONS)))

    threads = [threading.Thread(target=ask, args=(text,)) for text in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for text, end in zip(("one", "two"), alone, strict=True):
        assert ends[text].message.parts[0] == end.message.parts[0], "nobody hears the other's"


def test_unloading_gives_the_memory_back(engine: Engine) -> None:
    assert engine._runner is not None
    model = weakref.ref(engine._runner.loaded.model)  # type: ignore[attr-defined]
    engine.unload()
    assert model() is None and engine.report is None
    assert isinstance(_last(engine.turn(say(), OPTIONS)), TurnEnd)


def _last(events: Iterator[EngineEvent]) -> EngineEvent:
    *_, event = events
    return event


@pytest.mark.parametrize("layer", ["model.visual_model.blocks.0", "model.layers.0"])
def test_stop_ends_a_long_pass_between_two_layers(engine: Engine, files: Path, layer: str) -> None:
    """A large picture or a long prompt takes minutes on a CPU."""
    assistant = engine._runner
    assert isinstance(assistant, Assistant)
    stop, passed = threading.Event(), []

    def before(module: object, inputs: object) -> None:
        stop.set()

    model = assistant.loaded.model
    first = model.get_submodule(layer).register_forward_pre_hook(before, prepend=True)
    last = model.get_submodule(layer).register_forward_hook(lambda *_: passed.append(1))
    try:
        said = Conversation(
            messages=(Message("user", (Image(files / "p.png"), Text("what is this? " * 40))),)
        )
        *_, end = engine.turn(said, stop=stop, session="stopped")
    finally:
        first.remove()
        last.remove()
    assert isinstance(end, TurnEnd) and end.reason == "stopped" and end.message.parts == ()
    assert not passed, "the layer was not run to its end"
    *_, again = engine.turn(said, session=layer)
    assert isinstance(again, TurnEnd) and again.reason != "stopped"


def test_a_model_is_warm_when_it_is_loaded(engine: Engine) -> None:
    report = engine.report
    assert report is not None and dict(report.phases)["warm"] > 0
    assistant = engine._runner
    assert isinstance(assistant, Assistant)
    model = assistant.loaded.model
    assert not [one for one in model.modules() if one._forward_pre_hooks], "nothing is left behind"
