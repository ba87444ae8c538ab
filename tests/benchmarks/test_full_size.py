"""The program that writes, loads and uses a checkpoint of any size: here of the tiniest."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from benchmarks.full_size import __main__ as program
from benchmarks.full_size import written
from benchmarks.full_size.written import check_disk, shapes_of, split, write_checkpoint
from benchmarks.lib.rows import Row, read_json
from omni.config import OmniConfig, VocoderConfig
from omni.errors import ResourceError
from omni.loading import places
from omni.loading.checkpoint import Checkpoint
from omni.loading.nano import NANO_FOLDER
from tests.support.checkpoints import TINY, TINY_VOCODER, merged

PUBLISHED_BYTES = 22_044_704_048  # of 11.0 G parameters in 16 bits


def tiny_config() -> OmniConfig:
    embedded = json.loads((NANO_FOLDER / "config.json").read_text(encoding="utf-8"))
    return OmniConfig.from_dict(merged(embedded, TINY))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "tiny"
    write_checkpoint(folder, tiny_config(), VocoderConfig.from_dict(TINY_VOCODER))
    return folder


def test_the_published_size_in_five_shards() -> None:
    shapes = shapes_of(OmniConfig())
    assert written.bytes_of(shapes) == PUBLISHED_BYTES
    parts = list(split(shapes, written.SHARDS))
    assert [name for part in parts for name in part] == list(shapes)
    sizes = [written.bytes_of({name: shapes[name] for name in part}) for part in parts]
    assert len(sizes) == 5 and max(sizes) < 5e9 and min(sizes) > 3.5e9


def test_what_is_written_is_a_checkpoint(tiny: Path) -> None:
    checkpoint = Checkpoint(tiny, "tiny")
    shapes = shapes_of(tiny_config())
    assert {name: info.shape for name, info in checkpoint.tensors.items()} == {
        name: tuple(shape) for name, shape in shapes.items()
    }
    assert {info.dtype for info in checkpoint.tensors.values()} == {"BF16"}
    assert len(checkpoint.weight_files) == written.SHARDS and not checkpoint.defaults.trained
    with safe_open(checkpoint.weight_files[-1], "pt") as file:
        name = "model.visual_model.blocks.0.attn.qkv.weight"
        name = name if name in file.keys() else next(iter(file.keys()))  # noqa: SIM118
        assert torch.isfinite(file.get_tensor(name)).all()
    assert not list(tiny.parent.glob("*.part"))


def test_a_disk_that_is_too_small_is_told_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil._ntuple_diskusage(10**10, 0, 10**10)  # type: ignore[attr-defined]
    monkeypatch.setattr(places.shutil, "disk_usage", lambda place: usage)
    check_disk(tmp_path / "not" / "there", 7_000_000_000)
    with pytest.raises(ResourceError, match=r"takes 24.0 GB and 10.0 GB are free .* --folder"):
        check_disk(tmp_path / "not" / "there", PUBLISHED_BYTES - 44_704_048)


def test_an_interrupted_writing_leaves_nothing(tmp_path: Path) -> None:
    def tell(done: int, total: int) -> None:
        raise KeyboardInterrupt

    config, vocoder = tiny_config(), VocoderConfig.from_dict(TINY_VOCODER)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(tmp_path / "tiny", config, vocoder, told=tell)
    assert not list(tmp_path.iterdir())


def test_all_plans_and_turns(tiny: Path, tmp_path: Path) -> None:
    arguments = ["--folder", str(tiny), "--device", "cpu", "--plans", "none,4bit"]
    arguments += ["--text-tokens", "2", "--frames", "3", "--picture", "64x48", "--clip", "0.6"]
    files = ["--json", str(tmp_path / "rows.json"), "--lines", str(tmp_path / "rows.jsonl")]
    assert program.main([*arguments, *files]) == 0
    rows, about = read_json(tmp_path / "rows.json")
    values = {row.name: row.value for row in rows}
    for plan in ("none", "4bit"):
        phases = ["check", "read", "warm"] + (["quantize"] if plan == "4bit" else [])
        numbers = [f"load.{phase}_s" for phase in phases]
        numbers += ["load_s", "planned_gb", "loaded_gb", "load.peak_gb"]
        for turn in ("typed", "spoken", "picture", "clip"):
            numbers += [f"{turn}.{what}_s" for what in ("total", "first_text", "first_sound")]
            numbers += [
                f"{turn}.peak_gb",
                f"{turn}.text_tokens_per_s",
                f"{turn}.audio_frames_per_s",
            ]
        for name in numbers:
            value = values[f"{plan}.{name}"]
            assert isinstance(value, float) and value > 0, name
    assert "benchmarks.full_size --folder" in about["command"]
    lines = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["name"] for line in lines] == [row.name for row in rows]
    assert (tiny / "config.json").is_file(), "what was there stays"


PART = """
import json, os, sys, time
turns = sys.argv[sys.argv.index("--turns") + 1].split(",")
def say(what): print(json.dumps(what), flush=True)
def row(name):
    say(dict(name=name, value=1.0, bound=None, ok=None, direction=None, note=""))
row("load_s")
for turn in turns:
    say("turn: " + turn)
    if turn == "picture": HANG
    row(turn + ".total_s")
"""


@pytest.mark.parametrize(
    ("fault", "note"),
    [
        ("time.sleep(60)", "said nothing for too long"),
        ("sys.exit(9)", "ended with 9 in the picture turn"),
        ("os.kill(os.getpid(), 9)", "memory ran out"),
    ],
)
def test_a_turn_that_hangs_or_fails_is_told_and_the_rest_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, note: str
) -> None:
    script = tmp_path / "part.py"
    script.write_text(PART.replace("HANG", fault), encoding="utf-8")
    popen = program.subprocess.Popen

    def stand_in(command: list[str], **options: object) -> object:
        place = command.index("benchmarks.full_size.part")
        return popen([sys.executable, str(script), *command[place + 1 :]], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(program.subprocess, "Popen", stand_in)
    monkeypatch.setattr(program, "GRACE_S", 10.0)
    flags = program.checked(
        program.parser(), program.parser().parse_args(["--turn-limit", "0", "--plans", "none"])
    )
    rows = {row.name: row for row in program.plan_rows(flags, "none", tmp_path)}
    assert [row.name for row in rows.values() if row.value is not None] == [
        "load_s",
        "typed.total_s",
        "spoken.total_s",
        "clip.total_s",
    ]
    assert note in rows["picture.total_s"].note


def test_a_plan_without_room_says_so(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.full_size import part
    from omni import devices
    from omni.engine import Engine, EngineSettings

    monkeypatch.setattr(devices, "free_bytes", lambda device: 1_000_000)
    flags = part.parser().parse_args(["--folder", str(tiny)])
    engine = Engine(EngineSettings(str(tiny), device="cpu"))
    rows: list[Row] = list(part.measure(engine, part.asked(flags), part.TURNS, lambda what: None))
    assert [(row.name, row.value) for row in rows] == [("load_s", None)]
    assert "needs about" in rows[0].note


@pytest.mark.parametrize(
    "arguments", [["--plans", "3bit"], ["--turns", "sung"], ["--picture", "wide"]]
)
def test_flags_that_cannot_be(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    parser = program.parser()
    with pytest.raises(SystemExit):
        program.checked(parser, parser.parse_args(arguments))
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.slow
def test_the_full_size(tmp_path: Path) -> None:
    """Takes 22 GB of disk, 15 GB of memory and most of an hour on two cores."""
    arguments = ["--config", "full", "--plans", "4bit", "--turns", "typed,spoken"]
    file = tmp_path / "rows.json"
    assert program.main([*arguments, "--json", str(file), "--folder", str(tmp_path / "full")]) == 0
    rows, _ = read_json(file)
    assert not [row.name for row in rows if row.value is None]
    assert not (tmp_path / "full").exists(), "it was not to be kept"


def test_the_parser_knows_what_it_passes_on() -> None:
    flags = program.parser().parse_args([])
    assert isinstance(flags, argparse.Namespace)
    passed = program._passed_on(flags)
    from benchmarks.full_size import part

    part.parser().parse_args(["--folder", "x", *passed])
