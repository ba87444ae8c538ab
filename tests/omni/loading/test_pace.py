"""How large a picture may be on a CPU: from what was measured, below what the checkpoint allows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image as Pictures

from benchmarks.speed.random_model import load_random
from omni import devices
from omni.assistant import Assistant
from omni.config import OmniConfig
from omni.conversation import Conversation, Image, Message
from omni.events import TurnEnd
from omni.loading.load import LoadedModel
from omni.loading.patience import patient
from omni.model import pace
from omni.model.pace import Pace, measure, most_pixels, picture_seconds, within
from omni.options import GenerationOptions
from omni.requests import TurnRequest
from omni.settings import EngineSettings

# Of the published shape at 200 GFLOP/s, about.
SLOW = Pace(patch_s=0.02, pair_s=1e-6, text_s=0.25, speech_s=15.0)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_random("nano", "cpu", "float32")


@pytest.mark.parametrize("seconds", [1.0, 18.0, 500.0])
@pytest.mark.parametrize("pair", [0.0, 1e-6, 1e-4])
def test_a_picture_of_the_size_takes_the_time(seconds: float, pair: float) -> None:
    config, slow = OmniConfig(), replace(SLOW, pair_s=pair)
    pixels = most_pixels(config, slow, seconds)
    assert picture_seconds(config, slow, pixels) == pytest.approx(seconds, rel=0.01)


def test_no_picture_becomes_smaller_than_the_smallest() -> None:
    config = OmniConfig()
    assert most_pixels(config, replace(SLOW, patch_s=60.0)) == config.visual.min_pixels
    frames = within(config, config.visual.min_pixels).video
    assert frames.max_pixels == frames.min_pixels


def test_the_checkpoints_limit_stays_the_limit() -> None:
    config = OmniConfig()
    same = within(config, 10**9)
    assert same.visual == config.visual and same.video == config.video
    less = within(config, 200_000)
    assert (less.visual.max_pixels, less.video.max_pixels) == (200_000, 25_000)
    assert config.visual.max_pixels == OmniConfig().visual.max_pixels  # a copy was changed


@pytest.mark.parametrize("quantization", ["none", "4bit", "8bit"])
def test_everything_is_measured(quantization: str) -> None:
    if quantization != "none":
        pytest.importorskip("bitsandbytes")
    model = load_random("nano", "cpu", "bfloat16", quantization).model  # type: ignore[arg-type]
    found = measure(model)
    assert found.patch_s > 0 and found.pair_s >= 0
    assert 0 < found.text_s < 5 and 0 < found.speech_s < 60
    assert not torch.is_inference_mode_enabled()


def rows_of_a_picture(loaded: LoadedModel, folder: Path) -> int:
    Pictures.new("RGB", (600, 400), "red").save(folder / "picture.png")
    question = Conversation(messages=(Message("user", (Image(folder / "picture.png"),)),))
    options = GenerationOptions(speech=False, seed=0)
    options = replace(options, text_only=replace(options.text_only, max_new=1))
    *_, end = Assistant(loaded).run(TurnRequest(question, options))
    assert isinstance(end, TurnEnd)
    return end.stats.prompt_tokens


def test_a_large_model_on_a_cpu_gets_small_pictures(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(devices, "SMALL_MODEL_BYTES", 0)
    monkeypatch.setattr(pace, "measure", lambda *_: SLOW)
    monkeypatch.setattr(pace, "PICTURE_S", 1.0)
    small = patient(loaded, EngineSettings())
    pixels = most_pixels(loaded.config, SLOW, pace.PICTURE_S)
    limit = min(pixels, loaded.config.visual.max_pixels)
    assert small.report.max_pixels == small.config.visual.max_pixels == limit
    assert small.report.speech_s == SLOW.speech_s
    chosen = patient(loaded, EngineSettings(max_pixels=5000))
    assert chosen.report.max_pixels == 5000
    assert rows_of_a_picture(chosen, tmp_path) < rows_of_a_picture(loaded, tmp_path)


def test_a_small_model_is_left_alone(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "measure", lambda *_: pytest.fail("measured"))
    same = patient(loaded, EngineSettings())
    assert same.report.speech_s == 0 and same.config is loaded.config
    assert same.report.max_pixels == loaded.config.visual.max_pixels
