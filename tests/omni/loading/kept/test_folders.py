"""A folder appears whole or not at all: killed, cancelled, without room, written twice."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from omni.errors import BusyError, CheckpointError, ResourceError
from omni.events import Progress
from omni.loading import load as loading
from omni.loading import values
from omni.loading.kept import folders, shelf, tensor_file, writing
from omni.loading.kept.folders import appearing, check_room, is_locked, remove, sweep, unfinished
from omni.loading.kept.writing import Work, write
from omni.model.layers import rounding
from omni.settings import EngineSettings
from tests.support.checkpoints import write_checkpoint
from tests.support.kept import load, names, only_entry, scores, to_end
from tests.support.root import ROOT

# Waits at each step of writing until it is killed there.
STOPS_AT = """
import sys, time
from omni.loading.kept import folders, shelf, writing
from tests.support.kept import load
from omni.settings import EngineSettings

def stop(*_, **__):
    print("here", flush=True)
    time.sleep(600)

place, name = sys.argv[1].rsplit(":", 1)
setattr(globals()[place], name, stop)
writing.SHARD_BYTES = 1_000_000
load(EngineSettings(sys.argv[2], "4bit", "cpu", keep_quantized=True))
"""


def work_of(source: Path) -> Work:
    found = to_end(loading.find(str(source)))
    return Work(found.checkpoint, found.vocoder_file, "4bit", torch.float32)


def test_appearing(tmp_path: Path) -> None:
    target = tmp_path / "a" / "target"
    with appearing(target) as making:
        (making / "file").write_text("x", encoding="utf-8")
        assert not target.exists() and is_locked(target)
    assert names(target) == ["file"] and names(target.parent) == ["target"]
    assert not is_locked(target)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), appearing(tmp_path / "target") as making:
        (making / "file").write_text("x", encoding="utf-8")
        raise error
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk(
    source: Path, tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(writing, "write_tensors", full)
    with pytest.raises(ResourceError) as caught:
        to_end(write(work_of(source), tmp_path / "out"))
    assert caught.value.code == "kept-full" and str(tmp_path) in str(caught.value)
    assert names(tmp_path) == []


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    for error in (SafetensorError("invalid header"), OSError(errno.EIO, "broken disk")):
        with pytest.raises(type(error), match=r"header|broken"), appearing(tmp_path / "target"):
            raise error
    assert names(tmp_path) == []


def test_the_room_is_looked_at_first(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = work_of(source)
    usage = shutil.disk_usage(tmp_path)
    for free, fits in ((work.bytes + folders.MARGIN, True), (work.bytes, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda place, n=free: usage._replace(free=n))
        with contextlib.nullcontext() if fits else pytest.raises(ResourceError) as caught:
            check_room(work.bytes, tmp_path / "not" / "there" / "yet")
    assert caught is not None and caught.value.code == "kept-short"
    with pytest.raises(ResourceError):
        to_end(write(work, tmp_path / "out"))
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user without all rights")
def test_a_folder_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(ResourceError) as caught:
        to_end(write(work_of(source), closed / "out"))
    assert caught.value.code == "kept-unwritable"


def test_a_file_where_a_folder_should_be(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ResourceError) as caught:
        to_end(write(work_of(source), tmp_path / "file" / "out"))
    assert caught.value.code == "kept-unwritable" and "OMNI_KEPT" in str(caught.value)


def test_two_at_once(source: Path, tmp_path: Path) -> None:
    first = write(work_of(source), tmp_path / "out")
    next(first)
    with pytest.raises(BusyError) as caught:
        to_end(write(work_of(source), tmp_path / "out"))
    assert caught.value.code == "kept-busy"
    to_end(first)
    assert names(tmp_path) == ["out"]


def test_cancelled(source: Path, tmp_path: Path) -> None:
    """Closed after each of its first steps; nothing goes on behind."""
    for steps in range(1, 4):
        work = write(work_of(source), tmp_path / "out")
        for _ in range(steps):
            next(work)
        work.close()
        assert names(tmp_path) == []


def test_a_file_is_what_safetensors_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_file, "PIECE_BYTES", 100)
    monkeypatch.setattr(tensor_file, "SYNC_BYTES", 250)
    random = torch.randn(5, 33)
    tensors = {f"t.{dtype}": random.to(dtype) for dtype in tensor_file.NAMES}
    tensors |= {"empty": torch.empty(0, 3), "one": torch.tensor(7), "turned": random.T}
    looks: list[int] = []
    tensor_file.write_tensors(tmp_path / "file", tensors, lambda: looks.append(1))
    assert len(looks) > 50
    read = load_file(tmp_path / "file")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    with safe_open(tmp_path / "file", "pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize("where", ["reading", "rounding", "writing"])
def test_cancelled_inside_one_tensor(
    source: Path, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever cancels does not wait for the end of a matrix or of a file."""
    looks = 0

    def report(progress: Progress) -> None:
        nonlocal looks
        looks += 1

    monkeypatch.setattr(values, "PIECE_BYTES", 1 << 12 if where == "reading" else 1 << 30)
    monkeypatch.setattr(rounding, "LOOK_EVERY", 1 << 11 if where == "rounding" else 1 << 30)
    monkeypatch.setattr(rounding, "PIECE", 1 << 11)
    monkeypatch.setattr(tensor_file, "PIECE_BYTES", 1 << 12 if where == "writing" else 1 << 30)
    work = work_of(source)
    writing._write_weights(work, tmp_path, report)
    pieces = sum(info.size >> 12 for info in work.source.tensors.values())
    assert looks > pieces // 4, "one for each piece"


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "broken")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight"][0, 0] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError) as caught:
        to_end(write(work_of(folder), tmp_path / "out"))
    assert caught.value.code == "weights-broken" and names(tmp_path) == ["broken"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(
    "moment",
    [
        "writing:few_bits",
        "writing:write_tensors",
        "writing:_write_json",
        "shelf:write_record",
        "folders:_settle",
        "folders:_sync",
    ],
)
def test_killed_at_any_moment(
    source: Path, tmp_path: Path, own_shelf: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STOPS_AT, moment, str(source)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"here\n"
    (entry,) = shelf.entries()
    place = entry.folder
    assert entry.state == "writing"
    sweep(own_shelf)
    assert place.exists()  # another process is at it
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()

    (entry,) = shelf.entries()
    assert entry.state == "unfinished"
    loaded, stages = load(EngineSettings(str(source), "4bit", "cpu"))
    assert "quantize" in stages and names(own_shelf) == []  # the next load has tidied up
    kept, stages = load(EngineSettings(str(source), "4bit", "cpu", keep_quantized=True))
    assert "keep" in stages and only_entry().state == "ready"
    assert torch.equal(scores(kept), scores(loaded))


def test_what_was_left_is_overwritten(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    making = unfinished(target)
    making.mkdir()
    (making / "old").write_text("x", encoding="utf-8")
    (tmp_path / f".out{folders.LOCK}").write_text("", encoding="utf-8")
    to_end(write(work_of(source), target))
    assert names(tmp_path) == ["out"] and "old" not in names(target)


def test_sweep_leaves_all_else(tmp_path: Path) -> None:
    for name in ("kept", ".hidden", f".dead{folders.UNFINISHED}"):
        (tmp_path / name).mkdir()
    sweep(tmp_path)
    sweep(tmp_path / "nowhere")
    assert names(tmp_path) == [".hidden", "kept"]
    remove(tmp_path / "nowhere")


def test_no_memory_for_the_whole_is_needed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never more is held than a file of weights and a matrix."""
    held: list[int] = []
    real = writing.write_tensors

    def seen(path: Path, tensors: dict[str, torch.Tensor], *more: object) -> None:
        held.append(sum(tensor.nbytes for tensor in tensors.values()))
        real(path, tensors, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(writing, "SHARD_BYTES", 200_000)
    monkeypatch.setattr(writing, "write_tensors", seen)
    work = work_of(source)
    to_end(write(work, tmp_path / "out"))
    largest = max(info.elements * 4 for info in work.source.tensors.values())
    assert len(held) > 5 and max(held) <= max(200_000, largest)


def test_time(tmp_path: Path) -> None:
    """A lock that nobody holds is no sign of somebody at work."""
    target = tmp_path / "x"
    (tmp_path / f".x{folders.LOCK}").write_text("", encoding="utf-8")
    started = time.monotonic()
    assert not is_locked(target) and time.monotonic() - started < 1


def test_what_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "kept.json")

    (tmp_path / "shelf" / "x").mkdir(parents=True)
    monkeypatch.setattr(folders, "remove", refuse)
    with pytest.raises(ResourceError) as caught:
        shelf.remove(only_entry())
    assert caught.value.code == "kept-unwritable" and "Read-only" in str(caught.value)
