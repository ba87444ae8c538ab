"""An engine asked over a connection: as if it were here, and a sentence for all that goes wrong."""

from __future__ import annotations

import socket
import struct
import threading
import typing
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from omni import events, requests
from omni.conversation import Audio, Conversation, Image, Message, Speech, Text
from omni.engine import Engine, EngineSettings
from omni.errors import (
    BusyError,
    CheckpointError,
    ConversationError,
    MediaError,
    OmniError,
    ResourceError,
)
from omni.events import EngineEvent, Progress, SpeechChunk, TextDelta, TurnEnd, TurnStats
from omni.fair_queue import Asker
from omni.media import limits as media_limits
from omni.options import GenerationOptions
from omni.remote import client, link, server, shelf, wire
from omni.remote.client import RemoteEngine
from omni.remote.server import Serving
from omni.remote.shelf import Shelf, plain_name
from omni.replicas.wire import ReplicaLost
from omni.requests import Request, TurnRequest
from tests.support.engine_parts import FakeLoader, FakeRunner, in_thread, last, say, until, words
from tests.support.remote_server import served
from tests.support.root import ROOT

TOKEN = "a-token"
ADAPTERS = ("/trained/persona", "somebody/signs")


@pytest.fixture
def loader() -> FakeLoader:
    return FakeLoader()


@pytest.fixture
def there(loader: FakeLoader) -> Engine:
    """The engine at the other end."""
    return Engine(EngineSettings("nano"), loader)


@pytest.fixture
def files(tmp_path: Path) -> Shelf:
    place = tmp_path / "there"
    place.mkdir()
    return Shelf(place, most_bytes=1_000_000)


@pytest.fixture
def address(there: Engine, files: Shelf) -> Iterator[str]:
    with served(Serving(there, TOKEN, ADAPTERS, shelf=files)) as where:
        yield where


@pytest.fixture
def engine(address: str) -> Iterator[RemoteEngine]:
    made = RemoteEngine(address, TOKEN)
    yield made
    made.close()


class Words(threading.Event):
    """Lets one word out, and the others when it is set."""

    def __init__(self) -> None:
        super().__init__()
        self._first = threading.Semaphore(1)

    def wait(self, timeout: float | None = None) -> bool:
        return self._first.acquire(blocking=False) or super().wait(timeout)


def runner(there: Engine) -> FakeRunner:
    assert isinstance(there._runner, FakeRunner)
    return there._runner


def test_whatever_is_asked_and_comes_back_can_travel() -> None:
    for one in (*get_args(requests.Request), *get_args(events.EngineEvent), requests.ReadLine):
        assert wire.CLASSES.get(one.__name__) is one
    lines = requests.ReadLinesRequest(lines=(requests.ReadLine("Hello", name="Anna"),))
    back = wire.unpack(wire.pack(lines))
    assert isinstance(back, requests.ReadLinesRequest)
    assert [(line.text, line.name) for line in back.lines] == [("Hello", "Anna")]


def test_it_looks_like_an_engine_that_is_here(engine: RemoteEngine, there: Engine) -> None:
    assert engine.state == "idle" and engine.report is None
    stages = {event.stage for event in engine.load()}
    assert "read" in stages
    assert engine.state == "ready" and engine.report == there.report
    assert engine.default_options.seed == 7
    assert engine.settings.model == "nano"
    assert words(engine.turn(say("one two"))) == ["one", "two"]
    end = last(engine.turn(say("one"), lambda own: replace(own, speech=False), session="a"))
    assert end.reason == "end" and end.stats.total_s > 0
    engine.forget("a")
    until(lambda: runner(there).forgotten == ["a"])


def test_a_turn_loads_what_is_not_loaded(engine: RemoteEngine) -> None:
    events = list(engine.turn(say("one")))
    assert any(isinstance(event, Progress) and event.stage == "read" for event in events)
    assert engine.report is not None


def test_a_stop_reaches_it_and_what_was_made_comes_back(
    engine: RemoteEngine, there: Engine
) -> None:
    list(engine.load())
    runner(there).hold = hold = threading.Event()
    stop = threading.Event()
    ends: list[TurnEnd] = []
    asked = in_thread(lambda: ends.append(last(engine.turn(say("one two three"), stop=stop))))
    until(lambda: runner(there).inside == 1)
    stop.set()
    until(lambda: any(one.is_set() for one in there._stops))
    hold.set()
    asked.join(5)
    assert [end.reason for end in ends] == ["stopped"]


def test_whoever_goes_away_frees_it(engine: RemoteEngine, there: Engine) -> None:
    list(engine.load())
    runner(there).hold = hold = Words()
    turn = engine.turn(say("one two three"))
    while not isinstance(next(turn), TextDelta):
        pass
    turn.close()  # type: ignore[attr-defined]
    hold.set()
    until(lambda: runner(there).inside == 0 and not there.busy)
    assert words(engine.turn(say("again"))) == ["again"]


def test_several_are_asked_for_at_once_and_wait_there(engine: RemoteEngine, there: Engine) -> None:
    list(engine.load())
    runner(there).hold = hold = threading.Event()
    turns = [in_thread(partial(list, engine.turn(say("one"), session=n))) for n in "abc"]
    until(lambda: len(there._queue) == 3)
    hold.set()
    for turn in turns:
        turn.join(5)
    assert runner(there).most_inside == 1
    assert not engine.busy


def test_the_end_here_stops_what_is_under_way_there(engine: RemoteEngine, there: Engine) -> None:
    list(engine.load())
    runner(there).hold = hold = threading.Event()
    ends: list[TurnEnd] = []
    asked = in_thread(lambda: ends.append(last(engine.turn(say("one two three")))))
    until(lambda: runner(there).inside == 1)
    engine.close()
    until(lambda: any(one.is_set() for one in there._stops))
    hold.set()
    asked.join(5)
    assert ends[0].reason == "stopped"
    assert last(engine.turn(say("more"))).reason == "stopped"


def test_its_line_and_its_errors_are_told_here(engine: RemoteEngine, there: Engine) -> None:
    list(engine.load())
    runner(there).hold = hold = threading.Event()
    owner = Asker("somebody")
    turns = [in_thread(partial(list, engine.turn(say("one"), owner=owner))) for _ in range(3)]
    until(lambda: len(there._queue) == 3)
    with pytest.raises(BusyError) as told:
        list(engine.turn(say("one"), owner=owner))
    assert told.value.code == "queue-full-own" and told.value.params == {"each": 2}
    hold.set()
    for turn in turns:
        turn.join(5)
    runner(there).error = MediaError("media-empty", "{name} is empty.", name="{a}.wav")
    with pytest.raises(MediaError, match=r"\{a\}\.wav is empty") as again:
        list(engine.turn(say("one")))
    assert again.value.code == "media-empty"
    runner(there).error = ZeroDivisionError()
    with pytest.raises(ResourceError, match="failed at this question"):
        list(engine.turn(say("one")))


def test_the_model_is_chosen_there_and_the_adapter_here(
    engine: RemoteEngine, there: Engine
) -> None:
    list(engine.load())
    assert engine.settings.adapters == ADAPTERS and engine.settings.adapter == ADAPTERS[0]
    with pytest.raises(ResourceError, match="chosen, loaded and freed where the engine runs"):
        list(engine.load(EngineSettings("another")))
    with pytest.raises(ResourceError):
        engine.unload()
    with pytest.raises(ResourceError):
        list(engine.keep())
    with pytest.raises(CheckpointError, match="does not offer the adapter other"):
        list(engine.load(replace(engine.settings, adapter="other")))
    list(engine.turn(say("one")))
    list(engine.load(replace(engine.settings, adapter="signs")))
    list(engine.turn(say("two")))
    list(engine.turn(say("three"), adapter=""))
    assert runner(there).asked == [ADAPTERS[0], ADAPTERS[1], ""]
    assert engine.settings.adapter == ADAPTERS[1]
    with pytest.raises(CheckpointError, match="adapter strange: it can answer with persona, signs"):
        list(engine.turn(say("four"), adapter="strange"))  # no folder of that machine is told


# Files


class Heard:
    """A runner's turn that tells which files it got."""

    def __init__(self) -> None:
        self.files: list[tuple[Path, bytes]] = []

    def __call__(self, request: TurnRequest) -> Iterator[TextDelta | TurnEnd]:
        for message in request.conversation.messages:
            for part in message.parts:
                if isinstance(part, (Audio, Image)):
                    data = part.path.read_bytes() if part.path.exists() else b"-"
                    self.files.append((part.path, data))
        yield TextDelta("heard")
        yield TurnEnd(Message("assistant", ()), "end", TurnStats())


@pytest.fixture
def heard(engine: RemoteEngine, there: Engine, monkeypatch: pytest.MonkeyPatch) -> Heard:
    list(engine.load())
    made = Heard()
    monkeypatch.setattr(runner(there), "turn", made)
    return made


def shown(*paths: Path) -> Conversation:
    parts = tuple(Image(path) for path in paths)
    return Conversation(messages=(Message("user", (*parts, Text("What is it?"))),))


def test_files_travel_once_and_go_with_their_session(
    engine: RemoteEngine, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CHUNK_BYTES", 1000)
    picture, sound = tmp_path / "a b.png", tmp_path / "声音.wav"
    picture.write_bytes(b"p" * 4567)
    sound.write_bytes(b"s" * 1000)
    sent: list[bytes] = []
    send = link.Link.send
    monkeypatch.setattr(
        link.Link,
        "send",
        lambda self, data: (sent.append(data), send(self, data))[1],
    )
    conversation = shown(picture, sound, picture)
    list(engine.turn(conversation, session="a"))
    assert [data for _, data in heard.files] == [b"p" * 4567, b"s" * 1000, b"p" * 4567]
    assert [path.name for path, _ in heard.files] == ["a b.png", "声音.wav", "a b.png"]
    before = len(sent)
    assert before == 1 + 5 + 1
    list(engine.turn(conversation, session="a"))
    assert len(sent) == before + 1
    assert heard.files[3][0] == heard.files[0][0]  # where the engine's own caches know it
    list(engine.turn(conversation, session="b"))
    assert len(sent) == before + 1 + 7  # nobody has another's files by knowing what is in them
    kept = heard.files[0][0]
    engine.forget("a")
    until(lambda: not kept.exists())
    list(engine.turn(conversation))
    assert not heard.files[-1][0].exists()  # of no session: gone with its turn


def test_a_file_that_is_not_there_is_the_engines_to_tell(
    engine: RemoteEngine, heard: Heard, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    list(engine.turn(shown(tmp_path / "gone.png", empty), session="a"))
    assert [data for _, data in heard.files] == [b"-", b""]
    assert [path.name for path, _ in heard.files] == ["gone.png", "empty.png"]


def test_too_much_is_refused_before_it_is_sent(
    engine: RemoteEngine, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, larger = tmp_path / "large.png", tmp_path / "larger.png"
    large.write_bytes(bytes(600_000))
    larger.write_bytes(bytes(900_000) + b"1")
    list(engine.turn(shown(large), session="a"))
    list(engine.turn(shown(larger), session="b"))  # the first session's files make room
    assert not heard.files[0][0].exists() and heard.files[1][0].exists()
    with pytest.raises(BusyError, match="no room for the files"):
        list(engine.turn(shown(large, larger), session="c"))
    monkeypatch.setattr(media_limits._in_force, "limits", media_limits.MediaLimits(500_000))
    with pytest.raises(MediaError, match=r"large\.png is larger than 0 MB"):
        list(engine.turn(shown(large), session="d"))
    assert len(heard.files) == 2


def test_more_text_than_a_message_holds_is_told(
    engine: RemoteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MOST_BYTES", 2**20)
    with pytest.raises(ConversationError, match=r"takes at once \(1 MB\)"):
        list(engine.turn(say("x" * 2**20)))


def test_a_file_that_changes_on_its_way_is_told(
    engine: RemoteEngine, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"p" * 5000)
    given = client.given_file

    def cut(path: Path) -> wire.GivenFile:
        found = given(path)
        path.write_bytes(b"p" * 100)
        return found

    monkeypatch.setattr(client, "given_file", cut)
    with pytest.raises(MediaError, match="was changed while it was sent"):
        list(engine.turn(shown(picture), session="a"))
    until(lambda: not list(tmp_path.glob("there/**/*.part")))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a.wav", "a.wav"),
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\y.png", "y.png"),
        ("..", "file"),
        ("", "file"),
        ("a\0b\n.png", "ab.png"),
        ("\ud800.png", "png"),
    ],
)
def test_names_lead_nowhere(given: str, kept: str) -> None:
    assert plain_name(given) == kept


def test_a_long_name_keeps_its_ending() -> None:
    assert plain_name("声" * 300 + ".wav").endswith(".wav")
    assert len(plain_name("声" * 300 + ".wav").encode()) <= shelf.NAME_BYTES
    assert len(plain_name("x" * 300).encode()) <= shelf.NAME_BYTES


def test_folders_of_killed_processes_are_removed(tmp_path: Path) -> None:
    left = tmp_path / f"{shelf.PREFIX}999999999-x"
    left.mkdir()
    own = Shelf(tmp_path)
    assert not left.exists()
    Shelf(tmp_path).close()
    assert own._folder.exists()
    own.close()
    assert not list(tmp_path.iterdir())


# Who is there


def test_nobody_there_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    engine = RemoteEngine(f"127.0.0.1:{port}", "")
    with pytest.raises(ResourceError, match=r"No engine answers at ws://127\.0\.0\.1:\d+/ \(Conn"):
        list(engine.load())
    assert engine.state == "broken"


def test_one_that_goes_is_told_without_its_address(there: Engine, files: Shelf) -> None:
    with served(Serving(there, "", shelf=files)) as where:
        engine = RemoteEngine(where, "")
        list(engine.load())
    with pytest.raises(ResourceError) as told:
        list(engine.turn(say("one")))
    assert told.value.code == "remote-gone" and "127.0.0.1" not in str(told.value)
    assert engine.state == "broken"
    engine.watch()
    engine.close()


def test_a_wrong_token_is_a_sentence(address: str, there: Engine) -> None:
    for token in ("", "another"):
        with pytest.raises(ResourceError, match="does not know this token"):
            list(RemoteEngine(address, token).turn(say("one")))
    assert there.report is None


def test_another_version_is_a_sentence(
    engine: RemoteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "VERSION", 99)
    with pytest.raises(ResourceError, match="is of another version"):
        list(engine.load())


class Scripted(Serving):
    """The other end, which says something else."""

    def __init__(self, *messages: str | bytes) -> None:
        self.messages = messages

    async def talk(self, socket: WebSocket) -> None:
        await socket.accept()
        for message in self.messages:
            if isinstance(message, str):
                await socket.send_text(message)
            else:
                await socket.send_bytes(message)
        await socket.close()

    def close(self) -> None: ...


HELLO = wire.pack(wire.Hello(None, GenerationOptions(), EngineSettings(), "ready"))


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ((), "No engine answers"),
        (("welcome",), "is no engine of this program"),
        (('{"omni-engine": 1, "program": "0"}',), "was lost"),
        (('{"omni-engine": 1, "program": "0"}', b"\0\0\0\2{}"), "is no engine of this program"),
        (('{"omni-engine": 1, "program": "0"}', HELLO), "was lost in the middle"),
        (('{"omni-engine": 2, "program": "9"}',), r"another version \(9, here"),
    ],
)
def test_an_end_that_says_something_else_is_a_sentence(
    messages: tuple[str | bytes, ...], told: str
) -> None:
    with served(Scripted(*messages)) as where, pytest.raises(OmniError, match=told):
        list(RemoteEngine(where, "").turn(say("one")))


def test_an_engine_that_is_lost_is_told(
    engine: RemoteEngine, there: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(engine.load())
    runner(there).hold = hold = Words()
    turn = engine.turn(say("one two three"))
    while not isinstance(next(turn), TextDelta):
        pass
    frame = turn.gi_frame.f_locals["link"]  # type: ignore[attr-defined]
    frame._connection.socket.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ReplicaLost, match="ask again"):
        list(turn)
    hold.set()


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("gpu1:8000", "ws://gpu1:8000/"),
        ("http://gpu1:8000/omni/", "ws://gpu1:8000/omni/"),
        ("https://gpu1", "wss://gpu1/"),
        ("http://[::1]:8000", "ws://[::1]:8000/"),
    ],
)
def test_addresses_are_read_as_people_write_them(given: str, address: str) -> None:
    assert link.web_socket(given) == address


@pytest.mark.parametrize("given", ["", "ftp://x", "http://", "http://a:b", "a b", "http://a?b=c"])
def test_what_is_no_address_is_a_sentence(given: str) -> None:
    with pytest.raises(ResourceError, match="is no address of an engine"):
        RemoteEngine(given, "")


def test_a_token_that_no_header_can_hold_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(link.TOKEN_VARIABLE, "密码")
    with pytest.raises(ResourceError, match="OMNI_ENGINE_TOKEN must be"):
        RemoteEngine("http://gpu1")


# What clients say that is not what is expected


def talk(address: str, *messages: str | bytes) -> list[str | bytes]:
    """Everything that comes back."""
    heard: list[str | bytes] = []
    own = link.headers(TOKEN, None, "")
    with (
        connect(address.replace("http", "ws"), additional_headers=own) as connection,
        suppress(ConnectionClosed),
    ):
        for message in messages:
            connection.send(message)
        while True:
            heard.append(connection.recv())
    return heard


@pytest.mark.parametrize(
    "message",
    [
        "text",
        b"",
        b"\0\0\0\1{",
        struct.pack(">I", 10**9) + b"{}",
        wire.pack(wire.Stop()),
        wire.pack(wire.Want((1,))),
        b"\0\0\0\x16" + b'{"$":"Ask","request":5}'[:22],
        wire.HEAD.pack(20000) + b"[" * 20000,
    ],
)
def test_what_cannot_be_understood_ends_the_connection_alone(
    address: str, engine: RemoteEngine, message: str | bytes
) -> None:
    assert len(talk(address, message)) == 2  # the greeting and hello
    assert words(engine.turn(say("one"))) == ["one"]


def test_a_request_of_the_wrong_form_is_refused(address: str, engine: RemoteEngine) -> None:
    *_, answer = talk(address, wire.pack(wire.Ask("please")))  # type: ignore[arg-type]
    refused = wire.unpack(answer)
    assert isinstance(refused, wire.Refusal) and refused.code == "remote-failed"
    assert words(engine.turn(say("one"))) == ["one"]


def test_a_client_that_says_nothing_is_let_go(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ASK_S", 0.1)
    assert len(talk(address)) == 2


# Values


def test_values_come_back_as_they_were() -> None:
    codes = np.arange(24, dtype=np.int32).reshape(3, 8)
    conversation = Conversation(
        messages=(
            Message("user", (Text("hé 你好"), Audio(Path("/a/b.wav")), Image(Path("/a/c.png")))),
            Message("assistant", (Text("x", (1, 2)), Speech(codes, Path("/a/d.wav"))), True, True),
            Message("user", (Audio(Path("/a/b.wav")),)),
        )
    )
    request = TurnRequest(conversation, GenerationOptions(seed=3), "s", owner=Asker("a", None))
    paths: list[Path] = []
    again = wire.unpack(wire.pack(request, paths), lambda number: paths[number])
    assert paths == [Path("/a/b.wav"), Path("/a/c.png")]
    speech = again.conversation.messages[1].parts[1]
    np.testing.assert_array_equal(speech.codes, codes)
    assert speech.path is None and speech.codes.dtype == np.int32
    plain = replace(conversation.messages[1], parts=conversation.messages[1].parts[:1])
    assert replace(again.conversation.messages[1], parts=(plain.parts[0],)) == plain
    assert again.conversation.messages[0] == conversation.messages[0]
    assert (again.options, again.session, again.owner) == (request.options, "s", request.owner)
    chunk = wire.unpack(wire.pack(SpeechChunk(np.arange(5, dtype=np.int16))))
    np.testing.assert_array_equal(chunk.samples, np.arange(5))
    with pytest.raises(TypeError):
        wire.pack(object())
    with pytest.raises(TypeError):
        wire.pack(np.zeros(3))


def within(hint: object) -> Iterator[type]:
    """The classes that a type is made of."""
    if isinstance(hint, type):
        yield hint
    for part in typing.get_args(hint):
        yield from within(part)


def test_every_value_of_requests_and_events_may_travel() -> None:
    waiting = [*within(Request), *within(EngineEvent)]
    seen: set[type] = set()
    while waiting:
        one = waiting.pop()
        if one in seen or not is_dataclass(one):
            continue
        seen.add(one)
        hints = typing.get_type_hints(one)
        names = [item.name for item in fields(one) if item.name not in wire.HERE]
        waiting += [part for name in names for part in within(hints[name])]
    assert len(seen) > 20
    assert {one.__name__ for one in seen if wire.CLASSES.get(one.__name__) is not one} == set()


def test_nano_answers_over_a_connection_as_it_does_here(tmp_path: Path) -> None:
    options = GenerationOptions(seed=1)
    here = Engine(EngineSettings("nano", device="cpu"))
    sound = next((ROOT / "examples").rglob("*.flac"))
    conversation = Conversation(messages=(Message("user", (Audio(sound),)),))
    expected = last(here.turn(conversation, options))
    with served(Serving(here, shelf=Shelf(tmp_path))) as where:
        engine = RemoteEngine(where, "")
        events = list(engine.turn(conversation, options, session="a"))
        end = events[-1]
        assert isinstance(end, TurnEnd)
        texts = [part for part in end.message.parts if isinstance(part, Text)]
        assert texts == [part for part in expected.message.parts if isinstance(part, Text)]
        heard = sum(event.samples.size for event in events if isinstance(event, SpeechChunk))
        assert heard / 24_000 == pytest.approx(expected.stats.speech_s, abs=0.01)
        assert end.stats.first_sound_s is not None
        stop = threading.Event()
        assert all(isinstance(e, Progress) for e in engine.prepare(conversation, stop, "b"))
        asked = replace(conversation, messages=(Message("user", (Text("Hello!"),)),))
        list(engine.prepare(replace(asked, messages=()), stop, "b"))
        assert last(engine.turn(asked, options, session="b")).stats.cached_tokens > 0
        more = conversation.plus(end.message, Message("user", (Text("What can you do?"),)))
        assert last(engine.turn(more, options, session="a")).stats.cached_tokens > 0
