"""The page as Gradio sees it: what each tab makes of its inputs, endpoints, handlers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import av
import gradio as gr
import numpy as np
import pytest

from demos.base.languages import Words
from demos.base.owner import Owner
from demos.build import build
from demos.panels.model_state import memory_size, parameter_count, small_key, untrained_key
from demos.playback.player import chunk
from demos.tabs.audio import AUDIO
from demos.tabs.image import IMAGE
from demos.tabs.video import VIDEO, has_sound_to_hear, is_audible
from demos.turns.chat import Thread
from demos.turns.sessions import Sessions
from omni.conversation import Audio, Image, Video
from omni.engine import Engine, EngineSettings
from omni.errors import MediaError
from omni.events import SPEECH_RATE
from omni.loading import nano
from omni.media.audio import Sound
from omni.settings import with_adapter
from tests.support.fake_engine import FakeEngine, tone
from tests.support.page import ENDPOINTS, ask, handler, request, shown, values
from tests.support.root import ROOT


def keep(upload: str, kind: str) -> Path:
    return Path("kept") / upload


def clip(path: Path, sound: np.ndarray | None = None) -> Path:
    """A clip of half a second; ``sound``: float32 (samples,) at 16 kHz."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=10)
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        track = (
            container.add_stream("aac", rate=16_000, layout="mono") if sound is not None else None
        )
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        if track is not None and sound is not None:
            heard = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            heard.sample_rate = 16_000
            container.mux(track.encode(heard))
            container.mux(track.encode(None))
    return path


def test_importing_the_ui_does_not_import_torch() -> None:
    code = "import sys, app, demos.build, demos.serve; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_audio_tab_hears() -> None:
    assert AUDIO.parts({"sound": "question.wav"}, keep, Event()) == (
        Audio(Path("kept/question.wav")),
    )
    assert AUDIO.parts({"sound": None}, keep, Event()) == ()


def test_the_image_tab_sees_pictures_in_order_then_hears_the_question() -> None:
    pictures = [("one.png", None), ("two.png", "caption")]
    parts = IMAGE.parts({"pictures": pictures, "question": "question.wav"}, keep, Event())
    assert parts == (
        Image(Path("kept/one.png")),
        Image(Path("kept/two.png")),
        Audio(Path("kept/question.wav")),
    )
    assert IMAGE.parts({"pictures": None, "question": None}, keep, Event()) == ()


def test_the_video_tab_hears_a_clip_only_if_asked_and_if_there_is_sound(tmp_path: Path) -> None:
    time_s = np.arange(8000, dtype=np.float32) / 16_000
    loud = clip(tmp_path / "loud.mp4", (0.3 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32))
    still = clip(tmp_path / "still.mp4", np.zeros(8000, np.float32))
    mute = clip(tmp_path / "mute.mp4")

    def parts(clip: Path | None, with_sound: bool = True, question: str | None = None) -> Any:
        path = clip and str(clip)

        def as_it_is(upload: str, kind: str) -> Path:
            return Path(upload)

        return VIDEO.parts(
            {"clip": path, "with_sound": with_sound, "question": question}, as_it_is, Event()
        )

    assert parts(loud) == (Video(loud), Audio(loud))
    assert parts(loud, with_sound=False) == (Video(loud),)
    assert parts(still) == (Video(still),)
    assert parts(mute, question="q.wav") == (Video(mute), Audio(Path("q.wav")))
    assert parts(None) == ()


def test_a_broken_clip_is_told_when_its_pictures_are_read(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no clip")
    assert not is_audible(broken)
    assert not has_sound_to_hear(broken)


def test_a_sound_track_that_cannot_be_read_is_left_to_the_engine_which_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    time_s = np.arange(8000, dtype=np.float32) / 16_000
    loud = clip(tmp_path / "loud.mp4", (0.3 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32))
    assert has_sound_to_hear(loud)

    def unreadable(path: Path, stop: Event | None = None) -> Sound:
        raise MediaError("audio-unreadable", "broken")

    monkeypatch.setattr("omni.media.audio.read_sound", unreadable)
    assert has_sound_to_hear(loud)
    assert not is_audible(loud)


def test_chunks_for_the_player() -> None:
    samples = tone(0, 0.1)
    data = chunk(samples)
    assert isinstance(data, bytes)
    assert data[:4] == b"RIFF"
    assert len(data) == 44 + 2 * samples.size
    assert data[24:28] == SPEECH_RATE.to_bytes(4, "little")
    for nothing in (None, np.zeros(0, np.int16)):
        assert chunk(nothing) == gr.skip()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path / "root", grace_s=1000)


@pytest.fixture
def page(engine: FakeEngine, sessions: Sessions) -> gr.Blocks:
    return build(engine, sessions, Words())  # type: ignore[arg-type]


def test_endpoints_have_names_and_only_some_are_documented(page: gr.Blocks) -> None:
    documented = {fn.api_name for fn in page.fns.values() if fn.api_visibility == "public"}
    assert documented == set(ENDPOINTS)
    names = {fn.api_name for fn in page.fns.values()}
    for tab in ("audio", "video", "image"):
        assert {f"{tab}_turn", f"{tab}_stop", f"{tab}_clear"} <= names


def test_a_turn_empties_the_inputs_and_swaps_the_buttons(page: gr.Blocks) -> None:
    first, *between, last = ask(page, "hello")
    assert (first["send"]["interactive"], first["stop"]["interactive"]) == (False, True)
    assert first["recording"] is None
    assert (last["send"]["interactive"], last["stop"]["interactive"]) == (True, False)
    # The page has emptied the box as it was sent: the person may be typing again.
    assert not any("text" in changes for changes in (first, *between, last))
    assert "recording" not in last


def test_clear_drops_what_the_engine_keeps_of_the_chat(page: gr.Blocks, engine: FakeEngine) -> None:
    list(ask(page, "hello"))
    handler(page, "audio_clear")(request(), Thread(), 1)
    assert engine.forgotten == engine.sessions[:1]


def test_two_browsers_never_share_a_chat(page: gr.Blocks, engine: FakeEngine) -> None:
    *_, mine = ask(page, "my secret", "one")
    *_, hers = ask(page, "her question", "two")
    assert "secret" in str(mine["chat"])
    assert "secret" not in str(hers["chat"])
    assert len(engine.seen[-1].messages) == 1


def test_nothing_at_all_is_one_sentence(page: gr.Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", said.append)
    *_, last = ask(page, "   ")
    assert said == ["There is nothing to answer: type, record or add something first."]
    assert said[0] in last["status"] and last["chat"] == []  # nothing was asked: no bubble


def test_stop_reaches_a_running_turn(page: gr.Blocks, engine: FakeEngine) -> None:
    views = ask(page, "slow long")
    next(views)
    handler(page, "audio_stop")(request("someone else"))
    handler(page, "image_stop")(request())
    assert engine.ended == []
    handler(page, "audio_stop")(request())
    *_, last = views
    assert engine.ended == ["stopped"]
    assert "You stopped this answer" in str(last["chat"])


def test_clear_empties_the_chat_and_removes_its_files(page: gr.Blocks, sessions: Sessions) -> None:
    *_, last = ask(page, "hello")
    thread = last["thread"]
    (sound,) = thread.files()
    assert sound.exists()
    cleared = shown("audio", handler(page, "audio_clear")(request(), thread, 1))
    assert (cleared["chat"], cleared["player"], cleared["thread"]) == ([], None, Thread())
    assert cleared["recording"] is None
    assert not sound.exists()


def test_what_was_asked_before_clear_and_comes_after_it_is_not_answered(
    page: gr.Blocks, engine: FakeEngine, sessions: Sessions
) -> None:
    handler(page, "audio_clear")(request(), Thread(), 1)
    assert not any("chat" in changes or "thread" in changes for changes in ask(page, "late"))
    given = values(page, "audio_turn", audio_text="in time", audio_clears=1)
    *_, last = handler(page, "audio_turn")(request(), given)
    assert len(shown("audio", last)["thread"].entries) == 2
    assert not sessions.get("browser").running("audio")


def test_a_page_whose_files_are_gone_starts_anew(
    page: gr.Blocks, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Info", said.append)
    *_, last = ask(page, "hello")
    thread = last["thread"]
    thread.files()[0].unlink()
    list(ask(page, "again", thread=thread))
    assert len(engine.seen[-1].messages) == 1
    assert said == [Words().say("en", "session-over")]


def test_the_model_card_tells_what_is_loaded(page: gr.Blocks, engine: FakeEngine) -> None:
    bar = shown("model", handler(page, "model_status")(request()))
    assert "nano" in bar["status"]
    assert "first message" in bar["status"]
    assert (bar["load"]["interactive"], bar["unload"]["interactive"]) == (True, False)
    assert bar["banner"]["visible"]
    *running, last = load(page, "nano", "none", language="zh")
    chosen = ("name", "quantization", "device")
    assert all(view[choice]["interactive"] is False for view in running for choice in chosen)
    assert [last[choice]["value"] for choice in chosen] == ["nano", "none", "auto"]
    assert all(last[choice]["interactive"] for choice in chosen)
    assert any("<progress" in view["status"] for view in running)
    assert "14.2 M 参数" in last["status"]
    assert "未经训练" in last["banner"]["value"]
    assert (last["load"]["interactive"], last["unload"]["interactive"]) == (False, True)
    engine.trained = True
    handler(page, "bar_unload")(request(), values(page, "bar_unload"))
    *_, last = load(page, "nano", "none")
    assert last["banner"]["value"] == Words().say("en", "small")


def test_a_load_can_be_cancelled_and_keeps_what_was_chosen(
    page: gr.Blocks, engine: FakeEngine
) -> None:
    steps = load(page, "owner/model", "4bit", "cuda")
    next(steps)
    running = next(steps)
    assert running["cancel"]["visible"] and "of 10.0 GB" in running["status"]
    handler(page, "bar_cancel")(request())
    *_, last = steps
    assert engine.settings.model == "nano" and engine.report is None
    assert last["load"]["interactive"] and not last["cancel"]["visible"]
    chosen = [last[choice]["value"] for choice in ("name", "quantization", "device")]
    assert chosen == ["owner/model", "4bit", "cuda"]
    assert last["name"]["interactive"]


def test_the_card_watches_a_load_that_a_turn_began(page: gr.Blocks, engine: FakeEngine) -> None:
    begin = next(fn for fn in page.fns.values() if fn.name == "begin_watch").fn
    look = handler(page, "bar_look")
    given = values(page, "bar_look", model_name="nano", model_quantization="none", model_device="")
    assert begin is not None
    (watch,) = begin().values()
    assert watch["active"]
    steps = engine.load()
    next(steps)
    bar = shown("model", look(request(), given))
    assert "Reading weights: 0.0 of 10.0 GB" in bar["status"] and bar["cancel"]["visible"]
    list(steps)
    bar = shown("model", look(request(), given))
    assert "14.2 M" in bar["status"] and not bar["cancel"]["visible"]
    (watch,) = begin().values()
    assert not watch["active"], "nothing will be loaded"


def load(
    page: gr.Blocks,
    model: str,
    quantization: str,
    device: str = "auto",
    language: str = "en",
    adapter: str = "none",
) -> Iterator[dict[str, Any]]:
    """Press Load with these choices."""
    choices = {
        "model_name": model,
        "model_quantization": quantization,
        "model_device": device,
        "model_adapter": adapter,
    }
    given = values(page, "bar_load", **choices)
    for changes in handler(page, "bar_load")(request(language=language), given):
        yield shown("model", changes)


def test_another_model_is_chosen(page: gr.Blocks, engine: FakeEngine) -> None:
    offer = next(fn for fn in page.fns.values() if fn.name == "offer").fn
    after_a_turn = next(fn for fn in page.fns.values() if fn.name == "render" and fn.inputs).fn
    assert offer is not None
    assert after_a_turn is not None

    def offered(model: str, quantization: str) -> bool:
        choices = {
            "model_name": model,
            "model_quantization": quantization,
            "model_adapter": "none",
        }
        given = values(page, "bar_load", **choices, model_device="auto")
        (pressed,) = offer(given).values()
        bar = shown("model", after_a_turn(request(), given))
        assert bar["load"] == pressed  # what was chosen can still be loaded after a turn
        return pressed["interactive"]

    assert offered("nano", "none")
    *_, last = load(page, " owner/model ", "4bit", "")
    assert engine.settings == EngineSettings("owner/model", "4bit", "auto")
    chosen = [last[choice]["value"] for choice in ("name", "quantization", "device")]
    assert chosen == ["owner/model", "4bit", "auto"]
    assert not offered("owner/model", "4bit")
    assert offered("owner/model", "8bit")


def test_an_adapter_is_chosen(page: gr.Blocks, engine: FakeEngine) -> None:
    *_, last = load(page, "nano", "none", adapter=" runs/mine ")
    assert (engine.settings.adapters, engine.settings.adapter) == (("runs/mine",), "runs/mine")
    assert last["adapter"]["choices"] == ["none", "runs/mine"]
    assert last["adapter"]["value"] == "runs/mine"
    assert " · adapter runs/mine<" in last["status"]
    *_, last = load(page, "nano", "none", adapter="none", language="zh")
    assert (engine.settings.adapters, engine.settings.adapter) == (("runs/mine",), "")
    assert last["adapter"]["value"] == "none"
    assert "适配器" not in last["status"]


def test_an_adapters_folder_is_not_told_to_others(engine: FakeEngine, sessions: Sessions) -> None:
    owner = Owner(private=False, visitors_too=True)
    page = build(engine, sessions, Words(), owner=owner)  # type: ignore[arg-type]
    engine.settings = with_adapter(engine.settings, "/home/me/runs/mine")
    *_, last = load(page, "nano", "none", adapter="mine")
    assert engine.settings.adapter == "/home/me/runs/mine"
    assert last["adapter"]["choices"] == ["none", "mine"]
    assert " · adapter mine<" in last["status"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_checkpoint_that_cannot_be_loaded_is_one_sentence(
    sessions: Sessions, tmp_path: Path, language: str
) -> None:
    engine = Engine(EngineSettings("nano"))
    page = build(engine, sessions, Words())
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder, words in (
        (tmp_path / "gone", {"en": "is not a folder", "zh": "不是文件夹"}),
        (empty, {"en": "config.json", "zh": "config.json"}),
    ):
        *_, last = load(page, str(folder), "none", "cpu", language)
        assert words[language] in last["problem"] and str(folder) in last["problem"]
        assert last["name"]["value"] == str(folder) and last["name"]["interactive"]
        assert last["status"].count("data-state=") == 1
        assert engine.report is None
        assert (last["load"]["interactive"], last["unload"]["interactive"]) == (True, False)


def test_strangers_cannot_change_the_model(
    engine: FakeEngine, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", said.append)
    monkeypatch.setattr(engine, "load", lambda settings: pytest.fail("it was looked at"))
    monkeypatch.setattr(engine, "unload", lambda: pytest.fail("it was unloaded"))
    page = build(engine, sessions, Words(), owner=Owner(private=False))  # type: ignore[arg-type]
    list(load(page, "/etc/passwd", "none", "cpu"))
    handler(page, "bar_unload")(request("another"), values(page, "bar_unload"))
    assert said == [Words().say("en", "model-fixed")] * 2


def test_unload_waits_for_nobody(
    page: gr.Blocks, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(gr, "Warning", said.append)
    views = ask(page, "slow long")
    for view in views:
        if isinstance(view["player"], bytes):
            break
    handler(page, "bar_unload")(request("another"), values(page, "bar_unload"))
    assert said == [Words().say("en", "model-busy")]
    assert engine.report is not None
    handler(page, "audio_stop")(request())
    list(views)


@pytest.mark.parametrize("shipped", [False, True])
def test_an_untrained_model_is_named_before_it_is_loaded(
    shipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nano, "NANO_FOLDER", tmp_path)
    if shipped:
        (tmp_path / nano.WEIGHTS_FILE).touch()

    def key(model: str) -> str | None:
        return untrained_key(FakeEngine(EngineSettings(model)))  # type: ignore[arg-type]

    assert key("nano") == (None if shipped else "untrained")
    assert key("auto") == (None if shipped else "untrained-without-gpu")
    assert key("owner/model") is None


@pytest.mark.parametrize(
    ("model", "key"),
    [("nano", "small"), ("auto", "small-without-gpu"), ("owner/model", None)],
)
def test_the_embedded_model_says_how_small_it_is(model: str, key: str | None) -> None:
    engine = FakeEngine(EngineSettings(model))
    assert small_key(engine) == key  # type: ignore[arg-type]
    list(engine.load())  # whatever was asked for, nano is what was found
    assert small_key(engine) == "small"  # type: ignore[arg-type]


def test_sizes_are_readable() -> None:
    assert parameter_count(8_300_000_000) == "8.3 B"
    assert parameter_count(14_200_000) == "14.2 M"
    assert memory_size(57_000_000) == "57 MB"
    assert memory_size(21_500_000_000) == "21.5 GB"
