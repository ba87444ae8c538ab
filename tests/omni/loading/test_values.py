"""Checkpoints whose files are whole and whose content is not a model's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from omni.errors import CheckpointError
from omni.loading import values
from omni.loading.checkpoint import Checkpoint
from omni.loading.load import load
from omni.loading.values import WeightFiles
from omni.settings import EngineSettings
from tests.support.checkpoints import write_checkpoint

WEIGHTS = "model.safetensors"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 22000000000\n"
NAN, INFINITE = float("nan"), float("inf")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model")


def refused(folder: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        for _ in load(EngineSettings(str(folder), device="cpu")):
            pass
    return caught.value


def change(folder: Path, how: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / WEIGHTS)
    how(tensors)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE])
def test_a_value_that_is_no_number(folder: Path, value: float) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors["model.norm.weight"].view(-1)[-1] = value

    change(folder, spoil)
    error = refused(folder)
    assert error.code == "weights-broken" and "model.norm.weight" in str(error)


def test_a_vocoder_whose_values_are_no_numbers(folder: Path) -> None:
    state = torch.load(folder / "hift.pt", weights_only=True)
    next(iter(state.values())).view(-1)[0] = NAN
    torch.save(state, folder / "hift.pt")
    error = refused(folder)
    assert error.code == "weights-broken" and "hift.pt" in str(error)


@pytest.mark.parametrize("part", ["", "lm_head.weight"])
def test_weights_that_were_never_filled(folder: Path, part: str) -> None:
    def empty(tensors: dict[str, torch.Tensor]) -> None:
        for name, tensor in tensors.items():
            if part in name:
                tensor.zero_()

    change(folder, empty)
    error = refused(folder)
    assert error.code == "weights-zero" and part in str(error)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        (None, "num_hidden_layers", 1_000_000),
        ("audio_config", "encoder_layers", 10_000_000),
        ("visual_config", "depth", 1e300),
        ("flow_matching_config", "num_mid_blocks", 2**70),
        ("flow_matching_config", "channels", [8] * 100_000),
    ],
)
def test_a_config_of_more_layers_than_there_are_tensors(
    folder: Path, section: str | None, key: str, value: Any
) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    (config[section] if section else config)[key] = value
    path.write_text(json.dumps(config))
    before, started = psutil.Process().memory_info().rss, time.monotonic()
    error = refused(folder)
    assert error.code == "config-deep" and key in str(error)
    assert psutil.Process().memory_info().rss - before < 200_000_000
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "hift.pt", "tokenizer.json"])
def test_a_pointer_of_git_lfs(folder: Path, name: str) -> None:
    if name == "hift.pt" and not (folder / name).is_file():
        (folder / "hift.safetensors").unlink(missing_ok=True)
    (folder / name).write_text(POINTER)
    error = refused(folder)
    assert error.code == "file-pointer" and "git lfs pull" in str(error) and name in str(error)


def test_a_byte_order_mark_is_read_over(folder: Path) -> None:
    path = folder / "config.json"
    expected = Checkpoint(folder, "x").config
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert Checkpoint(folder, "x").config == expected


def test_json_that_is_too_deep(folder: Path) -> None:
    (folder / "config.json").write_text('{"a":' * 100_000)
    assert refused(folder).code == "file-broken"


def test_the_folder_of_a_model_in_the_hubs_cache(tmp_path: Path) -> None:
    cache = tmp_path / "models--owner--name"
    for version in ("new", "old"):
        write_checkpoint(cache / "snapshots" / version)
    assert Checkpoint(cache, "x").folder.parent.name == "snapshots"
    (cache / "refs").mkdir()
    for version in ("new", "old"):
        (cache / "refs" / "main").write_text(version)
        assert Checkpoint(cache, "x").folder.name == version
    assert Checkpoint(cache, "x").config
    (cache / "refs" / "main").write_text("gone")
    assert Checkpoint(cache, "x").config


@pytest.mark.parametrize("piece", [1, 4, 40, 100, 1000])
def test_tensors_are_read_in_pieces_of_which_each_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    tensors = {
        "rows": torch.arange(77.0).view(7, 11),
        "halves": torch.arange(9).to(torch.bfloat16),
        "flags": torch.tensor([True, False, True]),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "float8": torch.ones(3, 2).to(torch.float8_e4m3fn),
        "scalar": torch.tensor(3.5),
    }
    save_file(tensors, tmp_path / WEIGHTS)
    monkeypatch.setattr(values, "PIECE_BYTES", piece)
    told: list[tuple[str, int]] = []
    files = WeightFiles([tmp_path / WEIGHTS], lambda name, size: told.append((name, size)))
    for name, tensor in tensors.items():
        told.clear()
        assert torch.equal(files.slices[name][...].float(), tensor.float()), name
        assert {said for said, _ in told} == {name}
        assert sum(size for _, size in told) == tensor.nbytes
        assert max(size for _, size in told) <= max(piece, tensor.nbytes // max(len(told) - 1, 1))
    assert torch.equal(files.slices["rows"][2:4], tensors["rows"][2:4])


def test_zeros_and_odd_values_are_found_in_every_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "PIECE_BYTES", 16)
    odd = torch.ones(8, 4)
    odd[6, 1] = NAN
    last = torch.zeros(8, 4)
    last[7, 3] = 1.0
    for tensors, code in (
        ({"odd.weight": odd}, "weights-broken"),
        ({"lm_head.weight": torch.zeros(8, 4)}, "weights-zero"),
        ({"lm_head.weight": last}, None),
    ):
        save_file(tensors, tmp_path / WEIGHTS)
        files = WeightFiles([tmp_path / WEIGHTS])
        for one in files.slices.values():
            one[...]
        if code is None:
            files.check(tmp_path)
            continue
        with pytest.raises(CheckpointError) as caught:
            files.check(tmp_path)
        assert caught.value.code == code


def test_what_is_told_can_end_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "PIECE_BYTES", 16)
    save_file({"rows": torch.ones(8, 4)}, tmp_path / WEIGHTS)
    told: list[int] = []

    def tell(name: str, size: int) -> None:
        told.append(size)
        if len(told) == 3:
            raise InterruptedError

    files = WeightFiles([tmp_path / WEIGHTS], tell)
    with pytest.raises(InterruptedError):
        files.slices["rows"][...]
    assert len(told) == 3
