"""``omni quantize`` and ``omni cache``: from flags to folders, and every sentence on the way."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

from omni.cli.main import main
from omni.loading.kept import hub_cache, shelf
from omni.settings import EngineSettings
from tests.support.checkpoints import write_checkpoint
from tests.support.kept import load, names, scores

DAY = "2001-09-09"  # of the billionth second, within half a day anywhere


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("source") / "tiny", dtype=torch.bfloat16)


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A shelf and a Hub's cache of the test's own."""
    monkeypatch.setenv(shelf.VARIABLE, str(tmp_path / "shelf"))
    hub = tmp_path / "hub"
    real = huggingface_hub.scan_cache_dir
    monkeypatch.setattr(hub_cache.huggingface_hub, "scan_cache_dir", lambda: real(hub))
    yield tmp_path


@pytest.mark.parametrize("bits", ["4", "8"])
def test_quantize(source: Path, bits: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", str(source), "out", "--bits", bits]) == 0
    said = capsys.readouterr()
    assert said.out == "" and f"MB in {bits} bits" in said.err and "--model" in said.err
    place = Path(re.search(r"--model (\S+)", said.err)[1])  # type: ignore[index]
    want, _ = load(EngineSettings(str(source), f"{bits}bit", "cpu", "bfloat16"))  # type: ignore[arg-type]
    have, _ = load(EngineSettings(str(place), "auto", "cpu", "bfloat16"))
    assert torch.equal(scores(have), scores(want))
    assert names(Path()) == ["hub", "out"] if Path("hub").is_dir() else names(Path()) == ["out"]


def test_the_dtype_of_the_rest(source: Path) -> None:
    from omni.loading.checkpoint import Checkpoint

    for flags, dtype in (([], "BF16"), (["--dtype", "float16"], "F16")):
        assert main(["quantize", str(source), f"out-{dtype}", *flags]) == 0
        stored = Checkpoint(Path(f"out-{dtype}"), "x").tensors
        assert stored["lm_head.weight"].dtype == dtype


def test_what_quantize_refuses(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusal(*arguments: str) -> str:
        assert main(["quantize", *arguments]) == 1
        return capsys.readouterr().err.strip().splitlines()[-1]

    Path("full").mkdir()
    Path("full", "something").write_text("x", encoding="utf-8")
    assert "is there already" in refusal(str(source), "full")
    assert "is there already" in refusal(str(source), "full/something")
    assert main(["quantize", str(source), "full/below/it"]) == 0  # folders on the way are made
    capsys.readouterr()
    assert "is in 4bit already" in refusal("full/below/it", "again")
    assert "is not a folder" in refusal("./nothing", "again")
    usage = shutil.disk_usage(source)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=10))
    assert "GB are free" in refusal(str(source), "again")
    monkeypatch.undo()
    assert not Path("again").exists()
    for wrong in (["quantize", str(source)], ["quantize", str(source), "x", "--bits", "3"]):
        with pytest.raises(SystemExit) as caught:
            main(wrong)
        assert caught.value.code == 2


def test_quantize_without_bitsandbytes(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from omni.loading import quantization

    monkeypatch.setattr(quantization.importlib.util, "find_spec", lambda name: None)
    assert main(["quantize", str(source), "out"]) == 1
    assert "pip install bitsandbytes" in capsys.readouterr().err and names(Path()) == []


def keep(source: Path, bits: str) -> shelf.Entry:
    before = {entry.name for entry in shelf.entries()}
    load(EngineSettings(str(source), bits, "cpu", keep_quantized=True))  # type: ignore[arg-type]
    (entry,) = [entry for entry in shelf.entries() if entry.name not in before]
    return entry


def test_cache_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache"]) == 0
    said = capsys.readouterr().out
    assert str(shelf.shelf()) in said and "none" in said and "Hub" not in said
    assert main(["cache", "rm", "--all"]) == 0
    assert "0.0 MB are free again" in capsys.readouterr().err


def test_cache_lists_and_removes(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    four, eight = keep(source, "4bit"), keep(source, "8bit")
    os.utime(four.folder / shelf.RECORD, (1e9, 1e9))
    dead = shelf.shelf() / ".other.unfinished"
    dead.mkdir()
    capsys.readouterr()
    assert main(["cache"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (of_four,) = [line for line in lines if four.name in line]
    assert " 4 " in of_four and f"{four.bytes / 1e6:.1f} MB" in of_four
    assert DAY in of_four and "ready" in of_four and str(source) in of_four
    (of_eight,) = [line for line in lines if eight.name in line]
    assert " 8 " in of_eight and time.strftime("%Y") in of_eight
    assert any(".other.unfinished" in line and "unfinished" in line for line in lines)

    assert main(["cache", "rm", four.name, "nothing"]) == 1
    assert "under the name nothing" in capsys.readouterr().err
    assert main(["cache", "rm", four.name]) == 0
    assert f"removed {four.name}" in capsys.readouterr().err
    assert four.name not in names(shelf.shelf())
    assert main(["cache", "rm", "--all"]) == 0
    assert names(shelf.shelf()) == []


def test_cache_rm_wants_names_or_all(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["cache", "rm"], ["cache", "rm", "x", "--all"]):
        with pytest.raises(SystemExit) as caught:
            main(wrong)
        assert caught.value.code == 2 and "names, or --all" in capsys.readouterr().err


def test_what_is_being_written_stays(capsys: pytest.CaptureFixture[str]) -> None:
    from omni.loading.kept.folders import appearing

    with appearing(shelf.shelf() / "x"):
        assert main(["cache"]) == 0
        assert "being written" in capsys.readouterr().out
        assert main(["cache", "rm", "--all"]) == 0
        assert "left alone" in capsys.readouterr().err
    assert names(shelf.shelf()) == ["x"]


def test_the_hubs_cache_is_told(
    source: Path, own_places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def cached(name: str, files: dict[str, bytes]) -> None:
        folder = own_places / "hub" / f"models--{name.replace('/', '--')}"
        for part in ("blobs", "refs", "snapshots/abc"):
            (folder / part).mkdir(parents=True)
        (folder / "refs" / "main").write_text("abc", encoding="utf-8")
        for file, data in files.items():
            (folder / "blobs" / file).write_bytes(data)
            (folder / "snapshots" / "abc" / file).symlink_to(folder / "blobs" / file)

    config = (source / "config.json").read_bytes()
    cached("somebody/omni", {"config.json": config, "model.safetensors": b"x" * 3_000_000})
    cached("FunAudioLLM/CosyVoice2-0.5B", {"hift.pt": b"x"})
    cached("somebody/else", {"config.json": b'{"model_type": "llama"}'})
    cached("somebody/broken", {"config.json": b"{"})
    assert main(["cache"]) == 0
    said = capsys.readouterr().out
    assert "somebody/omni" in said and "3.0 MB" in said and "CosyVoice2" in said
    assert "somebody/else" not in said and "broken" not in said and "hf cache rm" in said


def test_places_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = shelf.Source("models/my tiny", "/data/models/my tiny", {})
    place = shelf.place_for(one, "4bit", "bfloat16")
    assert place.parent == tmp_path / "shelf"
    assert re.fullmatch(r"my--tiny-4bit-bfloat16-[0-9a-f]{8}", place.name)
    other = shelf.Source("tiny", "/other/models/my tiny", {})
    assert shelf.place_for(other, "4bit", "bfloat16") != place
    # Two versions in the Hub's cache are one source that has changed.
    versions = [
        shelf.Source("a/b", str(Path(constants.HF_HUB_CACHE, "models--a--b", "snapshots", v)), {})
        for v in ("111", "222")
    ]
    assert len({shelf.place_for(version, "8bit", "float32") for version in versions}) == 1
    assert shelf.place_for(versions[0], "8bit", "float32").name.startswith("a--b-8bit-float32-")
    monkeypatch.delenv(shelf.VARIABLE)
    assert shelf.shelf().name == "kept"
