"""The endpoints for scripts, used as scripts do: a running server and gradio_client."""

from __future__ import annotations

import errno
import os
import socket
import time
import wave
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image as Pillow

from demos import serve
from demos.base.gradio_internals import unheard
from demos.base.languages import Words
from demos.build import build
from demos.turns.listeners import Listeners
from demos.turns.room import storage_full
from demos.turns.sessions import Sessions
from omni.conversation import Audio, Image, Text, VoicePrompt
from omni.events import SPEECH_RATE
from omni.settings import EngineSettings
from omni.speech.lines import PAUSE_S
from tests.support.fake_engine import CHUNK_S, FakeEngine
from tests.support.media_files import tone, write_sound
from tests.support.page import ENDPOINTS


@pytest.fixture(scope="module")
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture(scope="module")
def served(
    engine: FakeEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, gr.Blocks, Sessions]]:
    sessions = Sessions(tmp_path_factory.mktemp("root"), grace_s=1000)
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(sessions.root)  # components read it when they are made
    page = build(engine, sessions, Words())  # type: ignore[arg-type]
    try:
        port = serve.free_port(serve.LOOPBACK, None)
        yield serve.serve(page, Words(), serve.ServeOptions(port=port)), page, sessions
    finally:
        page.close()
        sessions.close()
        os.environ.pop("GRADIO_TEMP_DIR")
        if before is not None:
            os.environ["GRADIO_TEMP_DIR"] = before


@pytest.fixture(scope="module")
def server(served: tuple[str, gr.Blocks, Sessions]) -> str:
    return served[0]


@pytest.fixture
def client(server: str, tmp_path: Path) -> Callable[[], Client]:
    return lambda: Client(server, verbose=False, download_files=tmp_path / "downloads")


@pytest.fixture
def question(tmp_path: Path) -> Path:
    return write_sound(tmp_path / "my question.wav", tone(0.5))


def test_the_endpoints_are_documented(client: Callable[[], Client]) -> None:
    documented = client().view_api(return_format="dict")["named_endpoints"]
    assert set(documented) == {f"/{name}" for name in ENDPOINTS}
    chat = documented["/chat"]
    assert [one["parameter_name"] for one in chat["parameters"]] == [
        *("text", "audio", "images", "video", "voice", "voice_text"),
        *("system", "speech", "language", "seed", "adapter"),
    ]
    assert all(one["parameter_has_default"] for one in chat["parameters"])
    types = [one["python_type"]["type"] for one in chat["returns"]]
    assert types[:2] == ["str", "filepath"]
    assert "spoken answer" in chat["description"]


def test_chat(client: Callable[[], Client], engine: FakeEngine, question: Path) -> None:
    picture = question.with_name("a picture.png")
    Pillow.new("RGB", (9, 9)).save(picture)
    text, sound, stats = client().predict(
        text="echo hello there",
        audio=handle_file(question),
        images=[handle_file(picture)],
        voice=handle_file(question),
        voice_text="la la",
        system="Be brief.",
        language="zh",
        seed=7,
        api_name="/chat",
    )
    assert text.split() == ["hello", "there"]
    with wave.open(sound) as file:
        assert file.getframerate() == SPEECH_RATE
        assert file.getnframes() == round(2 * CHUNK_S * SPEECH_RATE)
    assert stats["seed"] == 7
    assert stats["reason"] == "end"
    assert stats["media_notes"] == []
    assert stats["real_time_factor"] > 0
    seen = engine.seen[-1]
    assert seen.language == "zh"
    assert seen.system.text == "Be brief."
    assert isinstance(seen.system.voice, VoicePrompt)
    assert (seen.system.voice.use, seen.system.voice.transcript) == ("example", "la la")
    assert [type(part) for part in seen.messages[-1].parts] == [Image, Audio, Text]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"audio": "text.wav"}, "text.wav could not be read as sound"),
        ({"images": ["text.wav"]}, "text.wav is not a picture"),
        ({"video": "text.wav"}, "text.wav is not a clip"),
        ({"voice": "text.wav", "text": "Hello."}, "text.wav could not be read as sound"),
    ],
)
def test_files_of_another_kind_are_refused_before_they_are_copied(
    client: Callable[[], Client],
    served: tuple[str, gr.Blocks, Sessions],
    tmp_path: Path,
    given: dict[str, Any],
    said: str,
) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no medium at all\n" * 99)
    asked = {
        name: [handle_file(text)] if isinstance(value, list) else handle_file(text)
        for name, value in given.items()
        if name != "text"
    }
    with pytest.raises(AppError, match=said):
        client().predict(**(given | asked), api_name="/chat")
    kept = (served[2].root / "sessions").rglob("*text*")
    assert not list(kept)


def test_text_comes_while_it_is_produced(client: Callable[[], Client]) -> None:
    job = client().submit(text="slow", speech=False, api_name="/chat")
    job.result(timeout=60)
    lengths = [len(text) for text, *_ in job.outputs()]
    assert len(set(lengths)) > 3
    assert lengths == sorted(lengths)


def test_scripts_have_their_own_conversations(
    client: Callable[[], Client], engine: FakeEngine
) -> None:
    mine, hers = client(), client()
    mine.predict(text="echo my secret", api_name="/chat")
    hers.predict(text="echo hers", api_name="/chat")
    assert len(engine.seen[-1].messages) == 1
    mine.predict(text="echo more", api_name="/chat")
    assert len(engine.seen[-1].messages) == 3
    mine.predict(api_name="/new_conversation")
    mine.predict(text="echo anew", api_name="/chat")
    assert len(engine.seen[-1].messages) == 1


def test_transcribe_and_read_aloud(
    client: Callable[[], Client], engine: FakeEngine, question: Path
) -> None:
    text, stats = client().predict(audio=handle_file(question), api_name="/transcribe")
    assert text == "This is my question.wav"
    assert stats["text_tokens"] == 3
    sound, stats = client().predict(text="three short words", api_name="/read_aloud")
    with wave.open(sound) as file:
        assert file.getnframes() == round(3 * CHUNK_S * SPEECH_RATE)
    assert stats["speech_s"] == pytest.approx(3 * CHUNK_S)
    client().predict(text="so", system="Speak slowly.", api_name="/read_aloud")
    assert engine.manners == ["", "Speak slowly."]


def test_several_voices_are_read_as_one_sound(
    client: Callable[[], Client], engine: FakeEngine
) -> None:
    text = "Anna: Hello!\nBen: Hello Anna!"
    sound, _ = client().predict(text=text, several=True, api_name="/read_aloud")
    with wave.open(sound) as file:
        assert file.getnframes() == round((3 * CHUNK_S + PAUSE_S) * SPEECH_RATE)
    assert [line.name for line in engine.lines[-1]] == ["Anna", "Ben"]
    with pytest.raises(AppError, match="voices here are: Anna, Emma"):
        client().predict(text="Bob: Hello!", several=True, api_name="/read_aloud")


def test_the_model(client: Callable[[], Client], engine: FakeEngine) -> None:
    script = client()
    loaded = script.predict(model="nano", api_name="/load_model")["loaded"]
    assert loaded["checkpoint"] == "nano"
    assert script.predict(api_name="/model")["settings"]["model"] == "nano"
    assert script.predict(api_name="/unload_model")["loaded"] is None
    assert engine.report is None
    assert engine.settings == EngineSettings("nano")


def test_adapters(client: Callable[[], Client], engine: FakeEngine) -> None:
    script = client()
    settings = script.predict(adapter="mine", api_name="/use_adapter")["settings"]
    assert (settings["adapter"], settings["adapters"]) == ("mine", ["mine"])
    settings = script.predict(adapter=" yours ", api_name="/use_adapter")["settings"]
    assert (settings["adapter"], settings["adapters"]) == ("yours", ["mine", "yours"])
    for asked in ("", "mine", "none"):
        script.predict(text="echo it", adapter=asked, api_name="/chat")
    assert engine.adapters[-3:] == [None, "mine", ""]
    settings = script.predict(adapter="none", api_name="/use_adapter")["settings"]
    assert (settings["adapter"], settings["adapters"]) == ("none", ["mine", "yours"])


@pytest.mark.parametrize(
    ("language", "given", "sentence"),
    [
        ("en", {"text": " "}, "There is nothing to answer"),
        ("zh", {"text": ""}, "还没有内容可以回答"),
        ("en", {"text": "broken picture"}, "This picture cannot be read"),
        ("en", {"text": "crash"}, "Something went wrong inside the program"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    client: Callable[[], Client], language: str, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(AppError, match=sentence):
        client().predict(**given, language=language, api_name="/chat")


def test_the_pages_own_events_cannot_be_called(client: Callable[[], Client]) -> None:
    with pytest.raises(ValueError, match="audio_turn"):
        client().predict(api_name="/audio_turn")


def test_a_full_disk_costs_the_sound_and_not_the_text(
    client: Callable[[], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("demos.turns.turn.write_wav", full)
    text, sound, stats = client().predict(text="echo hello there", api_name="/chat")
    assert text.split() == ["hello", "there"]
    assert sound is None
    assert stats["note"] == str(storage_full())
    with pytest.raises(AppError, match="disk of the server is full"):
        client().predict(text="three short words", api_name="/read_aloud")
    monkeypatch.undo()
    _, sound, stats = client().predict(text="echo hello", api_name="/chat")
    assert sound
    assert stats["note"] == ""


def test_what_needs_no_engine_waits_behind_nobody(
    client: Callable[[], Client], server: str, engine: FakeEngine
) -> None:
    asking = client()
    before = len(engine.sessions)
    with engine._lock:  # a turn that takes its time
        for number in range(20):
            given = [None, "short", None, None, None, None, "", "", False, "en", None, ""]
            body = {"data": given, "session_hash": f"script-{number}"}
            httpx.post(f"{server}gradio_api/call/chat", json=body).raise_for_status()
        deadline = time.monotonic() + 20
        while len(engine.sessions) < before + 20:
            assert time.monotonic() < deadline, "all of them are in the engine's line"
            time.sleep(0.02)
        begun = time.monotonic()
        assert asking.predict(api_name="/model")["busy"] is True
        assert httpx.get(server).status_code == 200
        assert time.monotonic() - begun < 1


def test_files_that_are_given_leave_no_empty_ones(
    client: Callable[[], Client], question: Path
) -> None:
    client().predict(audio=handle_file(question), api_name="/transcribe")
    uploads = Path(os.environ["GRADIO_TEMP_DIR"])
    assert not [path for path in uploads.rglob("*") if path.is_file() and not path.stat().st_size]


def test_a_turn_that_nobody_listens_to_is_told_apart(
    client: Callable[[], Client], served: tuple[str, gr.Blocks, Sessions], engine: FakeEngine
) -> None:
    server, page, sessions = served
    given = [None, "slow long", None, None, None, None, "", "", False, "en", None, ""]
    body = {"data": given, "session_hash": "nobody"}
    ended = len(engine.ended)
    httpx.post(f"{server}gradio_api/call/chat", json=body).raise_for_status()
    listening = client()
    job = listening.submit(text="slow", api_name="/chat")  # behind the other one
    deadline = time.monotonic() + 8  # the whole turn takes 9 s
    listeners = Listeners(partial(unheard, page), sessions.leave, absent_s=1, every_s=0.2)
    listeners.watch()
    try:
        while len(engine.ended) == ended:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        listeners.close()
    assert engine.ended[ended] in ("stopped", "closed")
    assert job.result(timeout=20)[0].split()[-1] == "word7"


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has none")
def test_connections_into_the_void_end(served: tuple[str, gr.Blocks, Sessions]) -> None:
    (listener,) = served[1].server.servers[0].sockets
    timeout_ms = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert timeout_ms == serve.SILENT_S * 1000
