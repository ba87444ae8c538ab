"""Devices, dtypes and memory, on machines that are only pretended."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from omni import devices, threads
from omni.errors import ResourceError
from omni.libraries import heap
from omni.media.video import iter_frames
from tests.corpus.clips import flat
from tests.support.root import ROOT

NANO_VALUES = 25_000_000
LARGE_VALUES = 11_000_000_000
GB = 10**9
RUN = {"capture_output": True, "text": True, "check": True, "cwd": ROOT}


@pytest.fixture
def cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 and 30 GB, of which 10 and 25 are free and 1 is torch's own cache."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Some GPU")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: ((10, 25)[index] * GB, 0))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda index: 3 * GB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda index: 2 * GB)
    total = [SimpleNamespace(total_memory=20 * GB), SimpleNamespace(total_memory=30 * GB)]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: total[index])


def test_auto_without_a_gpu(cpu_only: None) -> None:
    choice = devices.choose_device()
    assert choice.name == "cpu" and "no GPU" in choice.reason


def test_auto_with_a_gpu(two_gpus: None) -> None:
    choice = devices.choose_device()
    assert choice.name == "cuda" and "Some GPU" in choice.reason


def test_auto_on_a_mac(cpu_only: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.choose_device().name == "mps"


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:1", "cpu"])
def test_devices_that_are_there(two_gpus: None, name: str) -> None:
    assert devices.choose_device(name).name == name


@pytest.mark.parametrize("name", ["cuda:2", "cuda:x", "cuda:-1", "mps", "xpu", "", "cpu:1"])
def test_devices_that_are_not(two_gpus: None, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ResourceError) as caught:
        devices.choose_device(name)
    assert caught.value.code == "device-missing"


def test_memory_of_gpus(two_gpus: None) -> None:
    assert devices.free_bytes("cuda:0") == 11 * GB  # torch's cache counts as free
    assert devices.free_bytes("cuda:1") == 26 * GB
    assert devices.free_bytes("cuda") == 37 * GB
    assert devices.total_bytes("cuda") == 50 * GB
    assert devices.held_bytes("cuda") == 4 * GB
    assert devices.held_bytes("cuda:1") == 2 * GB


def test_memory_of_the_machine() -> None:
    before = devices.held_bytes("cpu")
    block = torch.ones(50_000_000, dtype=torch.uint8)
    assert devices.held_bytes("cpu") - before > 40_000_000
    assert 0 < devices.free_bytes("cpu") <= devices.total_bytes("cpu")
    del block


OWN = """
import gc, sys, time
from omni import devices
from omni.libraries import heap

if sys.argv[1] == "own":
    heap.own_process()
heap.settle()
begun = time.perf_counter()
gc.collect()
quick = time.perf_counter() - begun < 0.05
print(gc.get_freeze_count() > 100_000 and quick)
devices.release()
print(gc.get_freeze_count())
"""


@pytest.mark.parametrize("whose", ["own", "another's"])
def test_what_is_loaded_is_left_out_of_searches_in_a_process_of_ours(whose: str) -> None:
    done = subprocess.run([sys.executable, "-c", OWN, whose], **RUN)  # type: ignore[call-overload]
    assert done.stdout.split() == [str(whose == "own"), "0"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that keeps them")
def test_the_decoder_of_a_clip_goes(tmp_path: Path) -> None:
    path = tmp_path / "large.mkv"
    path.write_bytes(flat(3840, 2160, 24))

    def look() -> None:
        assert sum(frame.width for frame in iter_frames(path, 32)) == 24 * 3840

    look()
    heap.tidy()
    before = devices.held_bytes("cpu")
    look()
    heap.tidy()
    assert devices.held_bytes("cpu") - before < 20_000_000


HEAP = """
import sys, torch
from omni import devices
from omni.libraries import heap

MB = 1 << 20
block = torch.ones(30 * MB, dtype=torch.uint8)
del block  # from here on the C library keeps what is smaller
if sys.argv[1] == "back":
    heap.return_large_blocks()
before, large, small = devices.held_bytes("cpu"), [], []
for _ in range(50):
    large.append(torch.ones(4 * MB, dtype=torch.uint8))
    small.append(torch.ones(MB // 8, dtype=torch.uint8))
del large
print((devices.held_bytes("cpu") - before) // MB)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that keeps them")
def test_freed_blocks_go_back_to_the_system() -> None:
    kept, back = (
        int(subprocess.run([sys.executable, "-c", HEAP, how], **RUN).stdout)  # type: ignore[call-overload]
        for how in ("kept", "back")
    )
    assert kept > 100 > 40 > back  # of 200 that were freed, and 6 that live


def test_memory_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    alone = devices.free_bytes("cpu")
    assert alone > 0, "no container"
    (tmp_path / "memory.max").write_text("100000000\n")
    (tmp_path / "memory.current").write_text("90000000\n")
    (tmp_path / "memory.stat").write_text("anon 60000000\ninactive_file 30000000\n")
    assert devices.free_bytes("cpu") == 40_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert devices.free_bytes("cpu") > 40_000_000


@pytest.mark.parametrize(
    ("capability", "free", "values", "expected"),
    [
        ((8, 0), 80, LARGE_VALUES, torch.bfloat16),
        ((9, 0), 80, NANO_VALUES, torch.bfloat16),
        ((7, 5), 16, LARGE_VALUES, torch.float16),
        ((7, 5), 16, NANO_VALUES, torch.float32),
        ((7, 0), 80, LARGE_VALUES, torch.float32),
    ],
)
def test_dtype_on_cuda(
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    free: int,
    values: int,
    expected: torch.dtype,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
    monkeypatch.setattr(devices, "free_bytes", lambda device: free * GB)
    choice = devices.choose_dtype("cuda", values)
    assert choice.dtype == expected and "compute capability" in choice.reason


@pytest.mark.parametrize(
    ("bf16", "free", "values", "expected", "reason"),
    [
        (False, 16, NANO_VALUES, torch.float32, "small"),
        (True, 16, NANO_VALUES, torch.float32, "small"),
        (True, 99, LARGE_VALUES, torch.bfloat16, "in hardware"),
        (False, 99, LARGE_VALUES, torch.float32, "float32 fits"),
        (False, 30, LARGE_VALUES, torch.bfloat16, "44.0 GB of 30.0 GB"),
    ],
)
def test_dtype_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
    bf16: bool,
    free: int,
    values: int,
    expected: torch.dtype,
    reason: str,
) -> None:
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: bf16)
    monkeypatch.setattr(devices, "free_bytes", lambda device: free * GB)
    choice = devices.choose_dtype("cpu", values)
    assert choice.dtype == expected and reason in choice.reason


@pytest.mark.parametrize(("newer", "expected"), [(True, "bfloat16"), (False, "float16")])
def test_dtype_on_metal(monkeypatch: pytest.MonkeyPatch, newer: bool, expected: str) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: newer)
    choice = devices.choose_dtype("mps", NANO_VALUES)
    assert choice.name == expected and "macOS 14" in choice.reason


def test_dtypes_by_name() -> None:
    for name, dtype in devices.DTYPES.items():
        choice = devices.choose_dtype("cpu", NANO_VALUES, name)
        assert (choice.dtype, choice.name, choice.reason) == (dtype, name, "asked for")
    with pytest.raises(ResourceError) as caught:
        devices.choose_dtype("cpu", NANO_VALUES, "float8")
    assert caught.value.code == "dtype-unknown"


def test_hardware_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    for features, expected in (({"avx2": True}, False), ({"amx_bf16": True}, True)):
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", lambda features=features: features, raising=False
        )
        assert devices.cpu_has_bfloat16() is expected


def test_what_does_not_fit() -> None:
    sentence = str(devices.too_large(23 * GB, 8 * GB, "cuda:0"))
    assert "about 23.0 GB" in sentence and "8.0 GB are free on cuda:0" in sentence


def test_which_errors_are_about_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    for error in (caught.value, MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")):
        assert devices.is_out_of_memory(error)
    for other in (RuntimeError("shapes do not match"), ValueError("out of memory"), OSError()):
        assert not devices.is_out_of_memory(other)


def test_small_models_use_one_thread() -> None:
    before = torch.get_num_threads()
    try:
        devices.use_threads("cpu", 4 * NANO_VALUES)
        assert torch.get_num_threads() == 1
        devices.use_threads("cpu", 4 * LARGE_VALUES)
        assert torch.get_num_threads() == threads.CHOSEN
        devices.use_threads("cuda", 4 * NANO_VALUES)
        assert torch.get_num_threads() == threads.CHOSEN
    finally:
        threads.COUNT.begin(before, watch=False)


@pytest.mark.parametrize(
    ("device", "dtype", "hardware", "expected"),
    [
        ("cpu", torch.float32, True, torch.float32),
        ("cpu", torch.bfloat16, True, torch.bfloat16),
        ("cpu", torch.bfloat16, False, torch.float32),
        ("cpu", torch.float16, True, torch.float32),
        ("cuda:0", torch.bfloat16, False, torch.bfloat16),
        ("mps", torch.float16, False, torch.float16),
    ],
)
def test_codes_to_mel_are_decoded_in_the_fastest_safe_dtype(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    dtype: torch.dtype,
    hardware: bool,
    expected: torch.dtype,
) -> None:
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: hardware)
    choice = devices.choose_speech_dtype(device, dtype)
    assert choice.dtype == expected and choice.reason
