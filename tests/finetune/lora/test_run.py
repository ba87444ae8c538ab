"""A training goes on where it broke off, saves whole checkpoints, leaves out no row in silence."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from finetune.__main__ import main
from finetune.lora import saving, training
from finetune.lora.options import LoraOptions, TrainingError
from finetune.lora.progress import read_log
from finetune.lora.run import RunFiles, run
from finetune.lora.training import Trained, train
from tests.finetune.lora.conftest import learnable
from tests.support.root import ROOT
from tests.support.rows import text_row, write_rows


@pytest.fixture
def options(tiny: Path) -> LoraOptions:
    """A few steps with everything that draws by chance."""
    return LoraOptions(
        model=str(tiny),
        device="cpu",
        rank=2,
        audio_head=True,
        batch=2,
        accumulate=2,
        steps=6,
        rate=1e-3,
        code_noise=0.5,
        save_every=2,
        log_every=1,
        checkpointing="on",
    )


def silently(line: str) -> None:
    """Tell nobody."""


def losses(folder: Path) -> list[tuple[float, float, float]]:
    """Of every step of a run."""
    rows = [row for row in read_log(folder / "log.jsonl") if "loss" in row]
    return [(row["step"], row["loss"], row["audio"]) for row in rows]


class Killed(Exception):
    """What a signal does."""


class KilledAt(TrainerCallback):
    """Ends the process, as far as a test can."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """At its step."""
        if state.global_step == self.step:
            raise Killed


def trained(options: LoraOptions, data: Path, folder: Path, killed_at: int = 0) -> Trained:
    """The rows learnt, in a run of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    source, model, examples = learnable(options, data, folder.parent)
    callbacks = [KilledAt(killed_at)] if killed_at else []
    return train(model, source.name, examples, [], options, folder, silently, callbacks)


def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(
    options: LoraOptions, data: Path, tmp_path: Path
) -> None:
    whole = trained(options, data, tmp_path / "whole")
    with pytest.raises(Killed):
        trained(options, data, tmp_path / "broken", killed_at=5)
    resumed = trained(options, data, tmp_path / "broken")
    assert resumed.steps == whole.steps == 6
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")  # bit for bit
    one, other = (load_file(t.adapter / "adapter_model.safetensors") for t in (whole, resumed))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_seed_gives_the_same_adapter_and_another_another(
    options: LoraOptions, data: Path, tmp_path: Path
) -> None:
    few = replace(options, steps=2)
    found = [
        trained(replace(few, seed=seed), data, tmp_path / name)
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    a, b, c = (load_file(t.adapter / "adapter_model.safetensors") for t in found)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_a_process_that_is_killed_hard_goes_on(tiny: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "finetune", "lora", "--model", str(tiny), "--device", "cpu"]
    command += ["--data", str(data), "--out", str(out), "--steps", "400", "--save-every", "2"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while not saving.checkpoints(out) and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert saving.checkpoints(out)
    lines: list[str] = []
    options = LoraOptions(model=str(tiny), device="cpu", steps=400, save_every=2)
    done = int(saving.checkpoints(out)[-1].name.removeprefix("checkpoint-"))

    class Enough(TrainerCallback):
        """One step shows it."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Stop."""
            assert state.global_step == done + 1
            raise Killed

    with pytest.raises(Killed), more_callbacks(Enough()):
        run(options, RunFiles(data, out), lines.append)
    assert f"going on from checkpoint-{done}" in lines


@contextmanager
def more_callbacks(callback: TrainerCallback) -> Iterator[None]:
    """Every trainer gets it."""
    usual = training._trainer

    def with_callback(*args: Any) -> Any:
        """As usual, and the callback."""
        trainer = usual(*args)
        trainer.add_callback(callback)
        return trainer

    training._trainer = with_callback
    try:
        yield
    finally:
        training._trainer = usual


def test_a_disk_that_fills_up_leaves_the_last_checkpoint_whole(
    options: LoraOptions, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, usual = tmp_path / "run", training.write_adapter

    def full(model: Any, folder: Path) -> None:
        """The second checkpoint finds no room for its last bytes."""
        usual(model, folder)
        if folder.name == "checkpoint-4":
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr(training, "write_adapter", full)
    with pytest.raises(TrainingError) as caught:
        trained(options, data, out)
    assert caught.value.code == "disk-full"
    assert "The state of step 2 is whole" in str(caught.value)
    assert [path.name for path in saving.checkpoints(out)] == ["checkpoint-2"]
    assert not (out / "checkpoint-4").exists()
    monkeypatch.setattr(training, "write_adapter", usual)
    assert trained(options, data, out).steps == 6
    trained(options, data, tmp_path / "whole")
    assert losses(out) == losses(tmp_path / "whole")


def test_a_checkpoint_is_not_begun_where_there_is_no_room(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as caught, saving.writing(tmp_path, 7, 1 << 60):
        pytest.fail("begun")
    assert caught.value.code == "disk-full" and "Nothing was saved yet" in str(caught.value)


def test_a_half_written_checkpoint_is_none(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-9").mkdir()
    (tmp_path / "checkpoint-10").mkdir()
    saving.mark_whole(tmp_path, 9)
    (tmp_path / "checkpoint-2").mkdir()
    saving.mark_whole(tmp_path, 2)
    assert [path.name for path in saving.checkpoints(tmp_path)] == ["checkpoint-2", "checkpoint-9"]
    saving.clear_unfinished(tmp_path)
    assert not (tmp_path / "checkpoint-10").exists()


def test_a_folder_holds_one_training(options: LoraOptions, data: Path, tmp_path: Path) -> None:
    files = RunFiles(data, tmp_path / "run")
    few = replace(options, steps=2)
    assert run(few, files, silently).steps == 2
    lines: list[str] = []
    assert run(replace(few, log_every=5), files, lines.append).steps == 2  # all done already
    with pytest.raises(TrainingError) as caught:
        run(replace(few, rank=4), files, silently)
    assert caught.value.code == "run-other" and "rank 2 there, 4 here" in str(caught.value)
    rows = data.read_text(encoding="utf-8").replace("Number 0.", "Number 9.")
    data.write_text(rows, encoding="utf-8")
    with pytest.raises(TrainingError, match="other rows"):
        run(few, files, silently)


def test_rows_are_mixed_in_once(options: LoraOptions, data: Path, tmp_path: Path) -> None:
    rows = [text_row(f"Old {n}?", f"Yes, {n}.") for n in range(4)]
    mix = write_rows(tmp_path / "old.jsonl", rows)
    twice = replace(options, steps=0, epochs=2, accumulate=1)
    files = RunFiles(data, tmp_path / "run", mix=mix)
    lines: list[str] = []
    assert run(twice, files, lines.append).steps == (2 * 8 + 4) // 2
    assert any(line.endswith("8 rows, and 4 mixed in once") for line in lines)
    write_rows(mix, rows[1:])
    with pytest.raises(TrainingError, match="other rows"):
        run(twice, files, silently)
    write_rows(mix, [*rows, text_row("<image>What?", "That.")])
    with pytest.raises(TrainingError, match=r"1 rows of old\.jsonl cannot be used"):
        run(twice, files, silently)


def test_it_ends_early_where_held_out_rows_get_worse_and_keeps_the_best(
    options: LoraOptions, data: Path, tmp_path: Path
) -> None:
    held_out = write_rows(tmp_path / "held_out.jsonl", [text_row("Which is 0?", "Never that.")])
    # So fast that it runs away from rows it does not see.
    wild = replace(options, rate=0.5, steps=40, eval_every=1, save_every=1, patience=2, warmup=0.0)
    lines: list[str] = []
    found = run(wild, RunFiles(data, tmp_path / "run", held_out), lines.append)
    assert found.steps < 40
    rows = [row for row in read_log(tmp_path / "run" / "log.jsonl") if "eval_loss" in row]
    best = min(row["eval_loss"] for row in rows)
    assert found.held_out == pytest.approx(best)
    step = next(int(row["step"]) for row in rows if row["eval_loss"] == best)
    saved = load_file(tmp_path / "run" / f"checkpoint-{step}" / "adapter_model.safetensors")
    kept = load_file(found.adapter / "adapter_model.safetensors")
    assert all(torch.equal(saved[name], kept[name]) for name in kept)


def test_the_run_tells_what_it_does(options: LoraOptions, data: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    found = run(replace(options, eval_share=0.25), RunFiles(data, tmp_path / "run"), lines.append)
    assert "2 of the rows are held out" in lines
    assert any(line.startswith("step 1 of 6 · loss ") and " left" in line for line in lines)
    assert any("held-out loss" in line for line in lines)
    assert found.figure is not None and found.figure.read_bytes()[:4] == b"\x89PNG"
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    config = json.loads((found.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == options.model
    size = sum(file.stat().st_size for file in found.adapter.iterdir())
    assert size < 4 * found.parameters + 100_000


@pytest.mark.parametrize("mode", ["text", "speech"])
def test_a_mode_learns_its_part(
    options: LoraOptions, data: Path, tmp_path: Path, mode: Any
) -> None:
    found = run(replace(options, mode=mode, steps=2), RunFiles(data, tmp_path / "run"), silently)
    rows = [row for row in read_log(tmp_path / "run" / "log.jsonl") if "loss" in row]
    assert found.steps == 2
    assert all(row["audio" if mode == "text" else "text"] == 0 for row in rows)


def test_rows_that_cannot_be_used_stop_it_unless_they_are_left_out(
    options: LoraOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [text_row("Hello!", "Hi."), {"messages": []}, text_row("<image>What?", "That.")]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    out = tmp_path / "run"
    flags = ["lora", "--model", options.model, "--data", str(data), "--out", str(out)]
    flags += ["--steps", "1", "--device", "cpu"]
    assert main(flags) == 1
    told = capsys.readouterr().err
    assert "rows.jsonl:2" in told and "rows.jsonl:3" in told and "--skip-bad" in told
    assert not (out / "adapter").exists()
    assert main([*flags, "--skip-bad"]) == 0
    assert "left out: 2 rows of rows.jsonl" in capsys.readouterr().err
    assert (out / "adapter" / "adapter_model.safetensors").is_file()


def test_silent_rows_teach_no_speech(options: LoraOptions, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", [text_row("Hello!", "Hi.")])
    with pytest.raises(TrainingError) as caught:
        run(replace(options, mode="speech"), RunFiles(data, tmp_path / "run"), silently)
    assert caught.value.code == "rows-silent"


@pytest.mark.parametrize(
    ("field", "value"), [("rank", 0), ("rate", 0.0), ("warmup", 1.0), ("steps", -1), ("batch", 0)]
)
def test_options_that_make_no_sense(field: str, value: Any) -> None:
    with pytest.raises(TrainingError) as caught:
        LoraOptions(**{field: value})
    assert f"--{field}" in str(caught.value)


def test_a_plan_that_does_not_fit_is_told_before_anything_is_loaded(
    options: LoraOptions, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omni.devices.free_bytes", lambda device: 1_000_000)
    monkeypatch.setattr("finetune.lora.base.load_source", lambda *_: pytest.fail("loaded"))
    lines: list[str] = []
    with pytest.raises(TrainingError) as caught:
        run(options, RunFiles(data, tmp_path / "run"), lines.append)
    assert caught.value.code == "memory-short"
    assert any("needs about" in line for line in lines)
