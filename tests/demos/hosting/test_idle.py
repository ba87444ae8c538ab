"""Nano is there before the first question; a model goes when nobody has asked for a while."""

from __future__ import annotations

import pytest

from demos import launch
from demos.hosting import idle
from omni import devices
from omni.devices import DeviceChoice
from omni.engine import Engine
from omni.fair_queue import FairQueue, LineLimits
from omni.loading import placement
from omni.replicas.engine import Replicas
from omni.settings import EngineSettings
from tests.support.engine_parts import FakeLoader, say, words


class Clock:
    """A time that tests set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Of all queues."""
    clock = Clock()
    before = FairQueue.__init__

    def init(self: FairQueue, limits: LineLimits | None = None) -> None:
        before(self, limits, clock)

    monkeypatch.setattr(FairQueue, "__init__", init)
    return clock


@pytest.mark.parametrize("count", [1, 2])
def test_a_model_that_nobody_asks_goes(clock: Clock, count: int) -> None:
    settings, loader = EngineSettings("nano"), FakeLoader()
    engines = [Engine(settings, loader) for _ in range(count)]
    engine = engines[0] if count == 1 else Replicas(settings, count, engines=engines)
    watch = idle.Unloading(engine, 60.0)
    list(engine.load())
    clock.now = 59.0
    assert watch.look() == 1.0 and engine.report is not None
    assert words(engine.turn(say("hi"))) == ["hi"]
    clock.now = 118.0
    assert watch.look() == 1.0 and engine.report is not None
    turn = engines[0].turn(say("one two three"))
    next(turn)
    clock.now = 500.0
    assert watch.look() == 60.0 and engine.report is not None, "somebody is served"
    list(turn)
    clock.now = 559.0
    assert watch.look() == 1.0
    clock.now = 560.0
    assert watch.look() == 60.0
    assert engine.report is None and engine.state == "idle"
    assert watch.look() == 60.0, "there is nothing to unload"
    assert words(engine.turn(say("hi"))) == ["hi"], "the next question loads it"
    clock.now = 1000.0
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            raise InterruptedError
        clock.now += seconds

    with pytest.raises(InterruptedError):
        idle.Unloading(engine, 0.1, pause).watch()
    assert pauses == [idle.LEAST_PAUSE_S] * 2 and engine.report is None


@pytest.mark.parametrize(
    ("model", "device", "bytes_there", "is_nano"),
    [
        ("nano", "cuda", 0, True),
        ("auto", "cpu", 10**12, True),
        ("auto", "cuda", 10**12, False),
        ("auto", "cuda", 10**9, True),
        ("owner/name", "cpu", 10**12, False),
        ("/a/folder", "cpu", 10**12, False),
    ],
)
def test_just_nano_is_loaded_ahead(
    model: str, device: str, bytes_there: int, is_nano: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "choose_device", lambda wanted: DeviceChoice(device, "a test"))
    monkeypatch.setattr(placement.devices, "total_bytes", lambda device: bytes_there)
    loader = FakeLoader()
    settings = EngineSettings(model)
    engine = Engine(settings, loader)
    idle.load_ahead(engine, settings)
    assert [one.model for one in loader.loaded] == ([model] if is_nano else [])


def test_a_model_that_cannot_be_loaded_ahead_is_told_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = EngineSettings("broken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idle, "stands_for_nano", lambda settings: True)
        idle.load_ahead(Engine(settings, FakeLoader()), settings)
    assert "not loaded ahead" in caplog.text


@pytest.mark.parametrize("wrong", ["0", "-1", "inf", "nan", "soon"])
def test_minutes_that_are_none(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        launch.parse(["--unload-after", wrong])
    assert "--unload-after" in capsys.readouterr().err
    assert launch.parse(["--unload-after", "0.5"]).unload_after == 0.5
