"""Adapters as files: found, and refused with a sentence that says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from omni.errors import CheckpointError
from omni.loading.adapters.files import AdapterFiles, find_adapter, read_adapter
from tests.support.adapters import LAYER, RANK, write_adapter

SHAPES = {
    f"{LAYER}.weight": (6, 4),
    "audio_head.transformer_layers.0.self_attention.in_proj_weight": (12, 4),
    "model.visual_bridge_model.ln_q.weight": (3,),
    "model.visual_bridge_model.ln_q.bias": (3,),
}
A, B = (f"base_model.model.{LAYER}.lora_{side}.weight" for side in "AB")


def pair(out: int = 6, inside: int = 4, rank: int = RANK) -> dict[str, Tensor]:
    return {A: torch.ones(rank, inside), B: torch.ones(out, rank)}


def found(name: str) -> Path:
    finding = find_adapter(name)
    try:
        next(finding)
    except StopIteration as end:
        folder: Path = end.value
        return folder
    raise AssertionError("nothing is fetched")


def read(folder: Path) -> AdapterFiles:
    return read_adapter("mine", found(str(folder)), SHAPES)


def test_a_pair_is_known_by_the_weight_it_belongs_to(tmp_path: Path) -> None:
    files = read(write_adapter(tmp_path, pair(), lora_alpha=8))
    assert files.pairs[f"{LAYER}.weight"].scale == 8 / RANK
    assert (files.rank, files.size) == (RANK, 4 * (8 + 12))


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({"lora_alpha": 8, "use_rslora": True}, 8 / RANK**0.5),
        ({"lora_alpha": 8, "alpha_pattern": {"W_pack": 2}}, 2 / RANK),
        ({"lora_alpha": 8, "alpha_pattern": {"o_proj": 2}}, 8 / RANK),
    ],
)
def test_the_scale_is_pefts(tmp_path: Path, config: dict[str, object], scale: float) -> None:
    files = read(write_adapter(tmp_path, pair(), **config))
    assert files.pairs[f"{LAYER}.weight"].scale == pytest.approx(scale)


def test_weights_that_are_no_module_of_their_own_are_known(tmp_path: Path) -> None:
    head = "base_model.model.audio_head.transformer_layers.0.self_attention"
    tensors = {
        f"{head}.lora_A.weight": torch.ones(RANK, 4),
        f"{head}.lora_B.weight": torch.ones(12, RANK),
    }
    assert list(read(write_adapter(tmp_path, tensors)).pairs) == [
        "audio_head.transformer_layers.0.self_attention.in_proj_weight"
    ]


def test_a_bridge_that_was_trained_comes_whole(tmp_path: Path) -> None:
    names = {"weight": torch.ones(3), "bias": torch.ones(3)}
    bridge = {f"base_model.model.model.visual_bridge_model.ln_q.{n}": t for n, t in names.items()}
    assert len(read(write_adapter(tmp_path / "whole", bridge | pair())).whole) == 2
    bridge.popitem()
    with pytest.raises(CheckpointError, match="visual_bridge_model is missing"):
        read(write_adapter(tmp_path / "half", bridge | pair()))


def test_the_folder_of_a_training_stands_for_its_adapter(tmp_path: Path) -> None:
    inner = write_adapter(tmp_path / "adapter", pair())
    assert found(str(tmp_path)) == inner == found(str(inner))


@pytest.mark.parametrize(
    "wrong", [pair(out=5), pair(inside=5), {A: torch.ones(3, 4), B: torch.ones(6, 2)}]
)
def test_another_models_adapter_is_refused(tmp_path: Path, wrong: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match="another model") as error:
        read(write_adapter(tmp_path, wrong))
    assert error.value.code == "adapter-mismatch"


def test_layers_that_this_model_has_not_are_refused(tmp_path: Path) -> None:
    other = {name.replace("W_pack", "q_proj"): tensor for name, tensor in pair().items()}
    with pytest.raises(CheckpointError, match=r"q_proj is not there"):
        read(write_adapter(tmp_path, other))
    with pytest.raises(CheckpointError, match="lm_head"):
        read(write_adapter(tmp_path, pair() | {"base_model.model.lm_head.weight": torch.ones(2)}))


@pytest.mark.parametrize(
    "config",
    [{"peft_type": "IA3"}, {"peft_type": None}, {"use_dora": True}, {"bias": "all"}],
)
def test_other_kinds_are_refused(tmp_path: Path, config: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="plain LoRA") as error:
        read(write_adapter(tmp_path, pair(), **config))
    assert error.value.code == "adapter-kind"


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {A: torch.ones(RANK, 4)},
        {A: torch.ones(RANK, 4, dtype=torch.int32), B: torch.ones(6, RANK)},
    ],
    ids=["empty", "half a pair", "whole numbers"],
)
def test_broken_ones_are_refused(tmp_path: Path, broken: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match="broken") as error:
        read(write_adapter(tmp_path, broken))
    assert error.value.code == "adapter-broken"


def test_files_that_are_cut_off_or_no_json_are_refused(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path, pair())
    weights, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    with pytest.raises(CheckpointError, match="fetch it again"):
        read(folder)
    weights.write_bytes(whole)
    config.write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match="fetch it again"):
        read(folder)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    folder = write_adapter(tmp_path, pair())
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(CheckpointError, match="never opened") as error:
        read(folder)
    assert error.value.code == "adapter-pickled"


@pytest.mark.parametrize("name", ["gone", "."])
def test_what_is_no_adapter_is_told(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="is no adapter") as error:
        found(name)
    assert error.value.code == "adapter-missing"


def test_one_of_the_hub_is_fetched_without_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(repository: str, patterns: tuple[str, ...]) -> object:
        asked.append((repository, tuple(patterns)))
        return tmp_path
        yield

    monkeypatch.setattr("omni.loading.adapters.files.hub.fetch", fetch)
    write_adapter(tmp_path, pair())
    assert found("somebody/voice") == tmp_path
    assert asked == [("somebody/voice", ("adapter_config.json", "adapter_model.safetensors"))]


def test_a_config_without_alpha_has_pefts_default(tmp_path: Path) -> None:
    save_file(pair(), tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    assert read(tmp_path).pairs[f"{LAYER}.weight"].scale == 8 / RANK
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "lora_alpha": "x"}')
    with pytest.raises(CheckpointError, match="no number"):
        read(tmp_path)
