"""Checkpoints as files: what is refused, with which sentence, and what is measured."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from omni.errors import CheckpointError
from omni.loading.checkpoint import Checkpoint, find_vocoder, read_header
from omni.loading.defaults import GenerationDefaults, Limits
from omni.loading.load import read_config
from omni.options import FIRST_TEXT, READING, GenerationOptions
from tests.support.checkpoints import write_checkpoint

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(whole, tmp_path / "checkpoint"))


def refused(folder: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        read_config(Checkpoint(folder, "x"))
    assert str(caught.value).endswith((".", "?")), "a sentence"
    return caught.value


def change_json(path: Path, change: Callable[[dict], object]) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def change_tensors(path: Path, change: Callable[[dict], object]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})


def test_a_whole_checkpoint_is_accepted(whole: Path) -> None:
    config = read_config(Checkpoint(whole, "x"))
    assert config.hidden_size == 128 and config.audio.codebook_sizes == (16, 8, 8, 8)


def test_headers_equal_what_safetensors_reads(whole: Path) -> None:
    header = read_header(whole / WEIGHTS)
    tensors = load_file(whole / WEIGHTS)
    assert {name: info.shape for name, info in header.items()} == {
        name: tuple(tensor.shape) for name, tensor in tensors.items()
    }
    assert {info.dtype for info in header.values()} == {"F32"}


def test_no_folder(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere").code == "checkpoint-missing"


def test_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert refused(folder).code == "config-missing"


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "\x00\xff"])
def test_a_config_that_is_no_json_object(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="latin-1")
    assert refused(folder).code == "file-broken"


def test_a_model_of_another_type(folder: Path) -> None:
    change_json(folder / "config.json", lambda config: config.update(model_type="qwen2"))
    error = refused(folder)
    assert error.code == "config-foreign" and "qwen2" in str(error)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_size": "many"},
        {"num_attention_heads": 0},
        {"num_hidden_layers": -3, "audio_config": None},
        {"audio_config": {"vq_config": {"codebook_sizes": "x"}}},
    ],
)
def test_a_config_that_describes_nothing(folder: Path, change: dict) -> None:
    change_json(folder / "config.json", lambda config: config.update(change))
    assert refused(folder).code in ("config-invalid", "weights-mismatch")


def test_no_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    assert refused(folder).code == "weights-missing"


def test_pickled_weights_are_not_opened(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    error = refused(folder)
    assert error.code == "weights-pickled" and "safetensors" in str(error)


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -1])
def test_a_file_that_is_cut_short(folder: Path, keep: int) -> None:
    path = folder / WEIGHTS
    content = path.read_bytes()
    path.write_bytes(content[:keep])
    error = refused(folder)
    assert error.code == "file-broken" and WEIGHTS in str(error)


def test_a_file_that_is_something_else(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"<!doctype html>" * 1000)
    assert refused(folder).code == "file-broken"


def test_a_file_that_is_too_long(folder: Path) -> None:
    with (folder / WEIGHTS).open("ab") as file:
        file.write(b"\0")
    assert refused(folder).code == "file-broken"


def test_a_missing_tensor(folder: Path) -> None:
    change_tensors(folder / WEIGHTS, lambda tensors: tensors.pop("model.norm.weight"))
    error = refused(folder)
    assert error.code == "weights-mismatch" and "1 missing (model.norm.weight)" in str(error)


def test_an_unexpected_tensor(folder: Path) -> None:
    change_tensors(folder / WEIGHTS, lambda tensors: tensors.update(extra=torch.zeros(1)))
    error = refused(folder)
    assert error.code == "weights-mismatch" and "1 unexpected (extra)" in str(error)


def test_a_tensor_of_another_shape(folder: Path) -> None:
    change_json(folder / "config.json", lambda config: config.update(vocab_size=1900))
    error = refused(folder)
    assert error.code == "weights-mismatch"
    assert "2 of another shape" in str(error) and "lm_head.weight" in str(error)


def shard(folder: Path) -> list[str]:
    """Split the weights over three files with an index, as large checkpoints are published."""
    tensors = load_file(folder / WEIGHTS)
    names = [f"model-{number:05d}-of-00003.safetensors" for number in (1, 2, 3)]
    weight_map = {}
    for number, name in enumerate(names):
        part = dict(list(tensors.items())[number::3])
        save_file(part, folder / name, {"format": "pt"})
        weight_map |= dict.fromkeys(part, name)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / WEIGHTS).unlink()
    return names


def test_shards(folder: Path) -> None:
    parameters = Checkpoint(folder, "x").parameters()
    names = shard(folder)
    checkpoint = Checkpoint(folder, "x")
    read_config(checkpoint)
    assert [path.name for path in checkpoint.weight_files] == names
    assert checkpoint.parameters() == parameters


def test_a_missing_shard(folder: Path) -> None:
    names = shard(folder)
    (folder / names[1]).unlink()
    error = refused(folder)
    assert error.code == "shards-missing" and names[1] in str(error) and "1 of its 3" in str(error)


@pytest.mark.parametrize("content", ["{", "{}", '{"weight_map": []}'])
def test_a_broken_index(folder: Path, content: str) -> None:
    shard(folder)
    (folder / "model.safetensors.index.json").write_text(content, encoding="utf-8")
    assert refused(folder).code == "file-broken"


@pytest.mark.parametrize("place", [".", "cosy24k_vocoder", "third_party/cosy24k_vocoder"])
def test_where_a_vocoder_may_lie(folder: Path, place: str) -> None:
    target = folder / place / "hift.pt"
    target.parent.mkdir(parents=True, exist_ok=True)
    if place != ".":
        (folder / "hift.pt").rename(target)
    found = find_vocoder(folder)
    assert found is not None and found.samefile(target)
    target.unlink()
    assert find_vocoder(folder) is None


def test_defaults_of_a_checkpoint_that_says_nothing(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    assert Checkpoint(folder, "x").defaults == GenerationDefaults()


def test_defaults_that_a_checkpoint_brings(folder: Path) -> None:
    values = {
        "trained": False,
        "limits": {"audio_frames": 24, "rounds": 2},
        "options": {"first_text": {"temperature": 0.1}, "next_stops": ["。"]},
    }
    change_json(folder / "generation_config.json", lambda config: config.update(omni=values))
    defaults = Checkpoint(folder, "x").defaults
    assert not defaults.trained
    assert defaults.options == GenerationOptions(
        first_text=replace(FIRST_TEXT, temperature=0.1), next_stops=("。",)
    )
    assert defaults.limits == Limits(audio_frames=24, rounds=2)


@pytest.mark.parametrize("values", [{"limit": {}}, {"options": {"temprature": 1}}, {"limits": 3}])
def test_defaults_that_are_misspelled(folder: Path, values: dict) -> None:
    change_json(folder / "generation_config.json", lambda config: config.update(omni=values))
    with pytest.raises(CheckpointError) as caught:
        _ = Checkpoint(folder, "x").defaults
    assert caught.value.code == "generation-config"


def test_limits_cut_and_never_raise() -> None:
    asked = GenerationOptions(max_rounds=1)
    cut = Limits(text_tokens=16, audio_frames=40, rounds=2).of(asked)
    assert cut.first_text.max_new == cut.next_text.max_new == cut.text_only.max_new == 16
    assert cut.audio.max_new == 40 and cut.max_rounds == 1
    assert cut.first_text.temperature == asked.first_text.temperature
    assert Limits().of(asked) == asked
    plain = Limits(repetition_penalty=1.0)
    assert plain.of(READING).audio.repetition_penalty == 1.0 != READING.audio.repetition_penalty
    assert Limits(repetition_penalty=9.0).of(READING) == READING
