"""Loads that keep their few bits, and those that read them: equal, and noticed if they are not."""

from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import pytest
import torch

from omni.loading.kept import shelf, writing
from omni.settings import EngineSettings
from tests.support.checkpoints import write_checkpoint
from tests.support.kept import load, names, only_entry, scores

KINDS = ("8bit", "4bit")


def settings(folder: Path, bits: str = "4bit", **more: object) -> EngineSettings:
    return EngineSettings(str(folder), bits, "cpu", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("bits", KINDS)
def test_the_second_load_quantizes_nothing_and_is_equal(
    source: Path, bits: str, dtype: str, own_shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "SHARD_BYTES", 1_000_000)  # several files and an index
    first, stages = load(settings(source, bits, dtype=dtype))
    assert "quantize" in stages and not first.report.kept and names(own_shelf) == []
    keeping, stages = load(settings(source, bits, dtype=dtype, keep_quantized=True))
    assert "keep" in stages and "quantize" not in stages and keeping.report.kept
    model = only_entry().model
    assert only_entry().bytes <= first.report.keep_bytes < 1.1 * only_entry().bytes
    assert len(list(model.glob("model-*-of-*.safetensors"))) > 1

    monkeypatch.setattr(writing, "few_bits", None)  # whoever quantizes now would fail
    second, stages = load(settings(source, bits, dtype=dtype))
    assert "keep" not in stages and "quantize" not in stages and second.report.kept
    shared, _ = load(EngineSettings(str(model), device="cpu", dtype=dtype))
    assert shared.report.plan == bits and not shared.report.keep_bytes
    want = scores(first)
    assert want.isfinite().all() and want.std() > 0
    for other in (keeping, second, shared):
        assert torch.equal(scores(other), want)
        assert other.report.parameters == first.report.parameters
        assert other.report.planned_bytes == first.report.planned_bytes
        for name, tensor in first.model.named_parameters():
            if tensor.is_meta:  # nothing reads it
                continue
            assert torch.equal(tensor, other.model.get_parameter(name)), name


def test_what_was_kept_speaks_as_the_source(source: Path) -> None:
    """All parts are in the folder: the whole way, from its path to speech."""
    from omni.engine import Engine
    from omni.events import SpeechChunk, TurnEnd
    from omni.options import GenerationOptions
    from tests.support.engine_parts import HELLO

    folder = write_checkpoint(source.parent / "talks", omni={"limits": {"audio_frames": 4}})
    load(settings(folder, keep_quantized=True))
    sounds = []
    for place in (folder, only_entry().model):
        engine = Engine(settings(place))
        events = list(engine.turn(HELLO, GenerationOptions(seed=3)))
        assert isinstance(events[-1], TurnEnd)
        sounds.append(
            b"".join(event.samples.tobytes() for event in events if isinstance(event, SpeechChunk))
        )
    assert sounds[0] == sounds[1] and len(sounds[0]) > 1000
    (report,) = {engine.report for engine in [engine]}
    assert report is not None and report.quantization == "4bit"


def test_a_changed_source_is_noticed(tmp_path: Path, source: Path) -> None:
    folder = tmp_path / "own"
    shutil.copytree(source, folder)
    load(settings(folder, keep_quantized=True))
    before = only_entry()
    assert before.state == "ready"
    weights = folder / "model.safetensors"
    other = write_checkpoint(tmp_path / "other", dtype=torch.bfloat16)
    shutil.copyfile(other / "model.safetensors", weights)
    assert only_entry().state == "changed"
    loaded, stages = load(settings(folder))
    assert "quantize" in stages and not loaded.report.kept
    again, stages = load(settings(folder, keep_quantized=True))
    assert "keep" in stages and only_entry().state == "ready" and only_entry().name == before.name
    assert torch.equal(scores(loaded), scores(again))

    stat = weights.stat()  # the same size, another time
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert only_entry().state == "changed"
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert only_entry().state == "ready"
    config = folder / "config.json"
    config.write_text(config.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert only_entry().state == "changed"
    shutil.rmtree(folder)
    assert only_entry().state == "gone"


def test_what_is_kept_is_for_its_bits_and_dtype(source: Path) -> None:
    load(settings(source, keep_quantized=True, dtype="float32"))
    for other in (settings(source, dtype="bfloat16"), settings(source, "8bit", dtype="float32")):
        loaded, stages = load(other)
        assert "quantize" in stages and not loaded.report.kept


def test_a_damaged_folder_is_not_used(source: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, _ = load(settings(source, keep_quantized=True))
    entry = only_entry()
    with (entry.model / "model.safetensors").open("rb+") as file:
        file.truncate(1000)
    assert only_entry().state == "damaged"
    with caplog.at_level(logging.INFO):
        loaded, stages = load(settings(source))
    assert "quantize" in stages and torch.equal(scores(loaded), scores(first))
    assert "damaged" in caplog.text
    _, stages = load(settings(source, keep_quantized=True))
    assert "keep" in stages and only_entry().state == "ready"
    (only_entry().folder / shelf.RECORD).write_text("{", encoding="utf-8")
    assert only_entry().state == "damaged"


def test_a_spoilt_folder_of_the_right_sizes_is_not_used(
    source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load(settings(source, keep_quantized=True))
    with (only_entry().model / "model.safetensors").open("rb+") as file:
        file.write(b"\xff" * 16)
    assert only_entry().state == "ready"
    loaded, stages = load(settings(source))
    assert "quantize" in stages and not loaded.report.kept and "is broken" in caplog.text


def test_the_time_of_the_last_use(source: Path) -> None:
    load(settings(source, keep_quantized=True))
    record = only_entry().folder / shelf.RECORD
    os.utime(record, (1e9, 1e9))
    assert only_entry().used == 1e9
    load(settings(source))
    assert only_entry().used > 1.7e9


def test_everything_but_code_goes_along(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "published"
    shutil.copytree(source, folder)
    (folder / "third_party" / "cosy24k_vocoder").mkdir(parents=True)
    (folder / "hift.pt").rename(folder / "third_party" / "cosy24k_vocoder" / "hift.pt")
    for name in ("LICENSE", "merges.txt", "preprocessor_config.json"):
        (folder / name).write_text("{}", encoding="utf-8")
    for name in ("modeling_omni.py", "README.md", "old.bin"):
        (folder / name).write_text("", encoding="utf-8")
    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    values |= {"auto_map": {"AutoConfig": "modeling_omni.X"}, "torch_dtype": "bfloat16"}
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    load(settings(folder, keep_quantized=True))
    model = only_entry().model
    assert names(model) == [
        "LICENSE",
        "config.json",
        "generation_config.json",
        "hift.pt",
        "merges.txt",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "vocoder_config.json",
    ]
    written = json.loads((model / "config.json").read_text(encoding="utf-8"))
    assert written["quantization_config"]["load_in_4bit"] and written["dtype"] == "float32"
    assert "auto_map" not in written and "torch_dtype" not in written
    own = {"quantization_config", "dtype"}
    same = {
        key: value for key, value in values.items() if key not in {*own, "auto_map", "torch_dtype"}
    }
    assert {key: value for key, value in written.items() if key not in own} == same
    load(EngineSettings(str(model), device="cpu"))


def test_no_path_of_this_machine_is_in_the_folder(source: Path) -> None:
    load(settings(source, keep_quantized=True))
    for path in only_entry().model.glob("*.json"):
        assert str(source.parent) not in path.read_text(encoding="utf-8"), path


def test_nothing_is_kept_of_what_is_not_quantized(
    source: Path, own_shelf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded, stages = load(settings(source, "none", keep_quantized=True))
    assert loaded.keepable is None and not loaded.report.keep_bytes and "keep" not in stages
    assert names(own_shelf) == [] and "nothing to keep" in caplog.text


def test_a_disk_without_room_costs_the_keeping_alone(
    source: Path, own_shelf: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    usage = shutil.disk_usage(source)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=2_000_000))
    loaded, stages = load(settings(source, keep_quantized=True))
    assert "quantize" in stages and not loaded.report.kept and names(own_shelf) == []
    assert (
        "need 0.1 GB" in caplog.text
        and "0.0 GB are free" in caplog.text
        and "omni cache" in caplog.text
    )
