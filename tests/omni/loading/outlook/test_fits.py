"""What a load will take, told before it: the estimate that loading goes by, without a network."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import pytest

from omni import devices
from omni.errors import CheckpointError
from omni.loading.load import find
from omni.loading.nano import NANO_FOLDER
from omni.loading.outlook import fits
from omni.loading.outlook.fits import outlook
from omni.loading.placement import place, published_need
from omni.loading.plans import Plan
from omni.settings import PUBLISHED_BASE, PUBLISHED_MODEL, EngineSettings


@pytest.fixture(autouse=True)
def nothing_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, and nobody may ask the Hub."""
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", asked)


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(fits, "free_bytes", lambda device: {device: size})


def on_cpu(model: str, **more: object) -> EngineSettings:
    return EngineSettings(model, device="cpu", **more)  # type: ignore[arg-type]


def test_it_is_the_estimate_of_the_load() -> None:
    found = last(find("nano"))
    look = outlook(on_cpu("nano"))
    size = found.vocoder_file.stat().st_size
    dtype = devices.choose_dtype("cpu", found.checkpoint.parameters()).dtype
    placed = place(found.checkpoint, found.config, "cpu", dtype, size, "none")
    assert look.fits[0].need == placed.need and look.fits[0].fits
    assert look.fetch == 0 and look.best is look.fits[0]
    assert outlook(on_cpu("auto")).model == "nano"


def last(steps):  # type: ignore[no-untyped-def]
    """What a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("model", [PUBLISHED_MODEL, PUBLISHED_BASE])
def test_the_published_ones_are_known_before_they_are_fetched(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fits, "check_available", lambda bits, device: None)
    monkeypatch.setattr("omni.loading.placement.runs_here", lambda device: True)
    free(monkeypatch, 16_000_000_000)
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: True)
    look = outlook(on_cpu(model))
    assert look.fetch is not None and 22_000_000_000 < look.fetch < 22_500_000_000
    assert [fit.fits for fit in look.fits] == [False, False, True]
    assert look.fits[0].need == published_need(Plan()).device
    assert look.best is not None and look.best.bits == "4bit"
    assert outlook(on_cpu(model), freed=10_000_000_000).fits[0].fits  # what is loaded makes room


def test_a_folder_is_known_by_the_heads_of_its_files(tmp_path: Path) -> None:
    for file in NANO_FOLDER.iterdir():
        (tmp_path / file.name).symlink_to(file)
    assert outlook(on_cpu(str(tmp_path))).fits == outlook(on_cpu("nano")).fits
    (tmp_path / "model.safetensors").unlink()
    problem = outlook(on_cpu(str(tmp_path))).problem
    assert isinstance(problem, CheckpointError) and problem.code == "weights-missing"


def test_what_nobody_knows_before(tmp_path: Path) -> None:
    look = outlook(on_cpu("owner/model"))
    assert look.fetch is None and not look.fits and look.problem is None
    nowhere = outlook(on_cpu(str(tmp_path / "nowhere"))).problem
    assert nowhere is not None and nowhere.code == "checkpoint-missing"
    device = outlook(EngineSettings("nano", device="cuda:7")).problem
    assert device is not None and device.code == "device-missing"


def test_an_adapter_lies_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({}))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"0" * 1_000_000)
    with_it = outlook(on_cpu("nano", adapters=(str(tmp_path), "owner/adapter")))
    assert with_it.fits[0].need == outlook(on_cpu("nano")).fits[0].need + 1_000_000
