"""Quantized folders that another machine gets: each thing that can be wrong has its sentence."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from omni.errors import CheckpointError, OmniError, ResourceError
from omni.loading import load as loading
from omni.loading import quantization
from omni.loading.kept.checkpoint import QuantizedCheckpoint, bits_to_run, open_checkpoint
from omni.settings import EngineSettings
from tests.support.kept import load, scores, to_end

MATRIX = "model.layers.1.mlp.up_proj.weight"
Change = Callable[[dict[str, torch.Tensor]], object]


@pytest.fixture
def folder(quantized_folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(quantized_folders["4bit"], tmp_path / "shared"))


@pytest.fixture
def eight(quantized_folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(quantized_folders["8bit"], tmp_path / "eight"))


def refused(settings: EngineSettings) -> OmniError:
    with pytest.raises(OmniError) as caught:
        load(settings)
    return caught.value


def change_tensors(folder: Path, change: Change) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})


def change_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["quantization_config"] |= values
    path.write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize("wanted", ["none", "8bit"])
def test_other_bits(folder: Path, wanted: str) -> None:
    error = refused(EngineSettings(str(folder), wanted, "cpu"))  # type: ignore[arg-type]
    assert isinstance(error, CheckpointError) and error.code == "quantized-otherwise"
    assert "4bit already" in str(error) and wanted in str(error)
    for right in ("auto", "4bit"):
        loaded, _ = load(EngineSettings(str(folder), right, "cpu"))  # type: ignore[arg-type]
        assert loaded.report.quantization == "4bit"


def test_without_bitsandbytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        quantization.importlib.util,
        "find_spec",
        lambda name, *more: None if name == "bitsandbytes" else real(name, *more),
    )
    error = refused(EngineSettings(str(folder), "auto", "cpu"))
    assert isinstance(error, ResourceError) and error.code == "quantized-missing"
    assert "pip install bitsandbytes" in str(error)


def test_on_a_device_that_has_no_few_bits(folder: Path) -> None:
    with pytest.raises(ResourceError) as caught:
        bits_to_run(open_checkpoint(folder, "shared"), "auto", "mps")
    assert caught.value.code == "quantized-device" and "mps" in str(caught.value)
    assert bits_to_run(open_checkpoint(folder, "shared"), "auto", "cuda") == "4bit"


def test_another_method(folder: Path) -> None:
    change_config(folder, quant_method="gptq")
    error = refused(EngineSettings(str(folder), "auto", "cpu"))
    assert error.code == "quantized-foreign" and "gptq" in str(error)
    change_config(folder, quant_method="bitsandbytes", load_in_4bit=False)
    assert refused(EngineSettings(str(folder), "auto", "cpu")).code == "quantized-foreign"
    path = folder / "config.json"
    values = json.loads(path.read_text(encoding="utf-8")) | {"quantization_config": "4bit"}
    path.write_text(json.dumps(values), encoding="utf-8")
    assert refused(EngineSettings(str(folder), "auto", "cpu")).code == "quantized-foreign"


def test_a_config_that_says_other_bits_than_the_weights_have(folder: Path, eight: Path) -> None:
    for place, bits in ((folder, (False, True)), (eight, (True, False))):
        change_config(place, load_in_4bit=bits[0], load_in_8bit=bits[1])
        error = refused(EngineSettings(str(place), "auto", "cpu"))
        assert error.code == "quantized-broken" and "omni quantize" in str(error)


@pytest.mark.parametrize(
    "part", [".absmax", ".quant_map", ".nested_absmax", ".quant_state.bitsandbytes__nf4", ""]
)
def test_a_part_is_missing(folder: Path, part: str) -> None:
    change_tensors(folder, lambda tensors: tensors.pop(f"{MATRIX}{part}"))
    assert refused(EngineSettings(str(folder), "auto", "cpu")).code == "quantized-broken"


def test_a_scale_of_8_bits_is_missing(eight: Path) -> None:
    change_tensors(eight, lambda tensors: tensors.pop(MATRIX.replace("weight", "SCB")))
    assert refused(EngineSettings(str(eight), "auto", "cpu")).code == "quantized-broken"


def test_the_format_of_8_bits_may_be_missing(eight: Path) -> None:
    """Old files have none."""
    name = MATRIX.replace("weight", "weight_format")
    change_tensors(eight, lambda tensors: tensors.pop(name))
    loaded, _ = load(EngineSettings(str(eight), "auto", "cpu"))
    assert loaded.report.quantization == "8bit"


def test_parts_of_another_size(folder: Path) -> None:
    def shorten(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{MATRIX}.absmax"] = tensors[f"{MATRIX}.absmax"][:-1].clone()

    change_tensors(folder, shorten)
    assert refused(EngineSettings(str(folder), "auto", "cpu")).code == "quantized-broken"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"shape": null}', b"\xff\xfe"])
def test_a_state_that_says_nothing(folder: Path, data: bytes) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        name = f"{MATRIX}.quant_state.bitsandbytes__nf4"
        tensors[name] = torch.tensor(list(data), dtype=torch.uint8)

    change_tensors(folder, spoil)
    assert refused(EngineSettings(str(folder), "auto", "cpu")).code == "quantized-broken"


def test_some_blocks_are_precise(folder: Path, source: Path) -> None:
    whole = load_file(source / "model.safetensors")

    def mix(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if name.startswith(MATRIX)]:
            del tensors[name]
        tensors[MATRIX] = whole[MATRIX]

    change_tensors(folder, mix)
    error = refused(EngineSettings(str(folder), "auto", "cpu"))
    assert error.code == "quantized-mixed" and MATRIX in str(error)


def test_other_parts_are_quantized_too(folder: Path, source: Path) -> None:
    from omni.loading.kept.layout import few_bits

    head = load_file(source / "model.safetensors")["lm_head.weight"]

    def more(tensors: dict[str, torch.Tensor]) -> None:
        tensors |= few_bits("lm_head.weight", head, "4bit", torch.float32, "cpu")

    change_tensors(folder, more)
    error = refused(EngineSettings(str(folder), "auto", "cpu"))
    assert error.code == "quantized-mixed" and "lm_head.weight" in str(error)


def test_a_file_that_is_cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - 1)
    assert refused(EngineSettings(str(folder), "auto", "cpu")).code == "file-broken"


def test_another_size_in_config(folder: Path) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text(encoding="utf-8")) | {"intermediate_size": 256}
    path.write_text(json.dumps(values), encoding="utf-8")
    assert refused(EngineSettings(str(folder), "auto", "cpu")).code == "weights-mismatch"


def test_scales_that_are_no_numbers(folder: Path) -> None:
    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors[f"{MATRIX}.nested_absmax"][0] = float("nan")

    change_tensors(folder, spoil)
    assert refused(EngineSettings(str(folder), "auto", "cpu")).code == "weights-broken"


def test_without_the_note_in_config(folder: Path) -> None:
    """A config.json of the original beside quantized weights."""
    path = folder / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    del values["quantization_config"]
    path.write_text(json.dumps(values), encoding="utf-8")
    assert refused(EngineSettings(str(folder), "auto", "cpu")).code == "weights-mismatch"


def test_another_dtype_than_it_was_made_for(folder: Path) -> None:
    loaded, _ = load(EngineSettings(str(folder), "auto", "cpu", "bfloat16"))
    assert loaded.report.dtype == "bfloat16"
    speech = set(loaded.model.audio_tokenizer.decoding_parts())
    speaking = {name for part in speech for name in map(id, part.parameters())}
    floats = [p for p in loaded.model.parameters() if p.is_floating_point()]
    assert {p.dtype for p in floats if id(p) not in speaking} == {torch.bfloat16}
    assert scores(loaded).dtype == torch.bfloat16 and scores(loaded).isfinite().all()


def test_layers_that_plain_transformers_saved_in_one_nesting(source: Path, tmp_path: Path) -> None:
    """Four bits whose scales are not quantized, as others make them."""
    import bitsandbytes as bnb

    from omni.loading.quantization import is_quantized, stored_config

    folder = Path(shutil.copytree(source, tmp_path / "single"))
    path = folder / "config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    single = stored_config("4bit", torch.float32) | {"bnb_4bit_use_double_quant": False}
    path.write_text(json.dumps(values | {"quantization_config": single}), encoding="utf-8")

    def change(tensors: dict[str, torch.Tensor]) -> None:
        for name in [n for n, t in tensors.items() if is_quantized(n, t.dim())]:
            four = bnb.nn.Params4bit(
                tensors[name], requires_grad=False, compress_statistics=False, quant_type="fp4"
            ).to("cpu")
            tensors[name] = four.data
            for part, tensor in four.quant_state.as_dict(packed=True).items():
                tensors[f"{name}.{part}"] = tensor.clone()

    change_tensors(folder, change)
    loaded, _ = load(EngineSettings(str(folder), "auto", "cpu"))
    state = loaded.model.model.layers[0].mlp.up_proj.weight.quant_state
    assert state.quant_type == "fp4" and loaded.report.quantization == "4bit"


def test_it_is_told_from_others(folder: Path, source: Path, tmp_path: Path) -> None:
    assert isinstance(open_checkpoint(folder, "x"), QuantizedCheckpoint)
    assert not isinstance(open_checkpoint(source, "x"), QuantizedCheckpoint)
    assert not isinstance(open_checkpoint(tmp_path / "nothing", "x"), QuantizedCheckpoint)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    assert not isinstance(open_checkpoint(tmp_path, "x"), QuantizedCheckpoint)


def test_only_the_estimate_for_its_bits_counts(folder: Path, source: Path) -> None:
    """What a quantized folder needs is what its source needs in those bits."""
    found = to_end(loading.find(str(folder)))
    shapes = {name: info.shape for name, info in found.checkpoint.tensors.items()}
    whole = to_end(loading.find(str(source))).checkpoint.tensors
    assert shapes == {name: info.shape for name, info in whole.items()}
    size = sum(info.size for info in found.checkpoint.tensors.values())
    assert abs(size - (folder / "model.safetensors").stat().st_size) < 80_000  # the header
