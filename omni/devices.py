"""Where to run and in what precision, each choice with its reason; how much memory there is.

Knows: devices, dtypes, memory figures. Does not know: checkpoints, modules.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from omni import threads
from omni.errors import ResourceError, gigabytes
from omni.libraries import heap

# torch then asks for memory in pages of 2 MB where the system gives them to whoever asks (Linux,
# by default): a model of 14 GB is otherwise three million pages, each cleared and looked up by
# itself. torch reads it when it takes memory for the first time.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

GIB = 1024**3
SMALL_MODEL_BYTES = 2 * GIB  # up to here float32 costs nothing worth saving
BF16_CAPABILITY = 8  # first major CUDA compute capability that multiplies bfloat16 in hardware
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_BF16_FEATURES = ("amx_bf16", "avx512_bf16", "bf16")  # of x86 and, the last, of ARM
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class DeviceChoice:
    """A device as torch spells it, or ``cuda`` for all CUDA devices, and why it was chosen."""

    name: str
    reason: str


@dataclass(frozen=True)
class DtypeChoice:
    """A dtype for everything but the vocoder (always float32), and why it was chosen."""

    dtype: torch.dtype
    reason: str

    @property
    def name(self) -> str:
        """As settings spell it: ``bfloat16``."""
        return str(self.dtype).removeprefix("torch.")


def choose_device(wanted: str = "auto") -> DeviceChoice:
    """The device for ``wanted``: auto, cpu, mps, cuda or cuda:N.

    Raises:
        ResourceError: this machine has no such device.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return DeviceChoice("cuda", f"found {torch.cuda.get_device_name(0)}")
        if torch.backends.mps.is_available():
            return DeviceChoice("mps", "found Apple's Metal")
        return DeviceChoice("cpu", "no GPU found")
    if not _exists(wanted):
        raise ResourceError(
            "device-missing",
            "This machine has no device {device}: choose auto or cpu.",
            device=wanted,
        )
    return DeviceChoice(wanted, "asked for")


def _exists(name: str) -> bool:
    kind, _, index = name.partition(":")
    if kind == "cuda":
        if index and not index.isdecimal():
            return False
        return torch.cuda.is_available() and int(index or 0) < torch.cuda.device_count()
    if kind == "mps":
        return torch.backends.mps.is_available() and index in ("", "0")
    return name == "cpu"


def check_dtype(wanted: str) -> None:
    """Refuse a name that is no dtype.

    Raises:
        ResourceError: ``wanted`` is neither auto nor one of :data:`DTYPES`.
    """
    if wanted != "auto" and wanted not in DTYPES:
        raise ResourceError(
            "dtype-unknown",
            "There is no dtype {dtype}: choose auto, float32, bfloat16 or float16.",
            dtype=wanted,
        )


def choose_dtype(device: str, parameters: int, wanted: str = "auto") -> DtypeChoice:
    """The dtype for a model of ``parameters`` unquantized parameters on ``device``.

    Raises:
        ResourceError: ``wanted`` is neither auto nor one of :data:`DTYPES`.
    """
    check_dtype(wanted)
    if wanted != "auto":
        return DtypeChoice(DTYPES[wanted], "asked for")
    if device.startswith("cuda"):
        return _cuda_dtype(device, 4 * parameters)
    if device == "mps":
        return _mps_dtype()
    return _cpu_dtype(4 * parameters)


def _cuda_dtype(device: str, float32_bytes: int) -> DtypeChoice:
    index = torch.device(device).index or 0
    major, minor = torch.cuda.get_device_capability(index)
    if major >= BF16_CAPABILITY:
        return DtypeChoice(torch.bfloat16, f"compute capability {major}.{minor} has bfloat16")
    if float32_bytes < 0.8 * free_bytes(device):
        return DtypeChoice(
            torch.float32, f"compute capability {major}.{minor} lacks bfloat16, and float32 fits"
        )
    return DtypeChoice(
        torch.float16,
        f"compute capability {major}.{minor} lacks bfloat16, and float32 does not fit; "
        "large activations may overflow",
    )


def _mps_dtype() -> DtypeChoice:
    if torch.backends.mps.is_macos_or_newer(14, 0):
        return DtypeChoice(torch.bfloat16, "Metal has bfloat16 from macOS 14 on")
    return DtypeChoice(
        torch.float16, "Metal lacks bfloat16 before macOS 14; large activations may overflow"
    )


def _cpu_dtype(float32_bytes: int) -> DtypeChoice:
    if float32_bytes <= SMALL_MODEL_BYTES:
        return DtypeChoice(torch.float32, "the model is small")
    if cpu_has_bfloat16():
        return DtypeChoice(torch.bfloat16, "this CPU multiplies bfloat16 in hardware")
    free = free_bytes("cpu")
    if float32_bytes < 0.8 * free:
        return DtypeChoice(torch.float32, "this CPU lacks bfloat16, and float32 fits")
    return DtypeChoice(
        torch.bfloat16,
        f"float32 would need {gigabytes(float32_bytes)} GB of {gigabytes(free)} GB free",
    )


def choose_speech_dtype(device: str, dtype: torch.dtype) -> DtypeChoice:
    """The dtype from codes to mel, in a model of ``dtype``: the fastest that keeps the mel.

    Half the bits change the mel by less than 3 % (relative L2, docs/performance.md), and GPUs and
    some CPUs multiply them faster. Other CPUs unpack them first, which makes the flow's products
    several times slower: there float32 is worth its half gigabyte.
    """
    name = str(dtype).removeprefix("torch.")
    if device != "cpu" or dtype == torch.float32:
        return DtypeChoice(dtype, "the model's own")
    if dtype == torch.bfloat16 and cpu_has_bfloat16():
        return DtypeChoice(dtype, "this CPU multiplies bfloat16 in hardware")
    return DtypeChoice(torch.float32, f"this CPU multiplies float32 faster than {name}")


def cpu_has_bfloat16() -> bool:
    """Whether bfloat16 products run in hardware here."""
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.12: say no, which is safe
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(feature, False) for feature in _BF16_FEATURES)


def use_threads(device: str, float32_bytes: int) -> None:
    """Set how many threads an operation is split over, for a model of that size.

    The steps of a small model are shorter than it takes to wake a second thread, and on a busy
    machine threads that wait for each other spin: one thread is faster, up to ten times. A large
    model on the CPU leaves others the cores that they use (:mod:`omni.threads`).
    """
    small = device == "cpu" and float32_bytes <= SMALL_MODEL_BYTES
    threads.COUNT.begin(1 if small else threads.CHOSEN, watch=device == "cpu")


def cuda_devices(device: str) -> list[int]:
    """The indices that ``device`` stands for: all of them for ``cuda``, else that one."""
    index = torch.device(device).index
    return list(range(torch.cuda.device_count())) if index is None else [index]


def free_bytes(device: str) -> int:
    """Bytes that can still be allocated on ``device`` (on all of them, for ``cuda``)."""
    if device.startswith("cuda"):
        return sum(_cuda_free(index) for index in cuda_devices(device))
    if device == "mps":
        left = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return max(0, min(left, _cpu_free()))
    return _cpu_free()


def total_bytes(device: str) -> int:
    """Bytes that ``device`` has in all (all of them together, for ``cuda``)."""
    if device.startswith("cuda"):
        indices = cuda_devices(device)
        return sum(torch.cuda.get_device_properties(index).total_memory for index in indices)
    if device == "mps":
        return torch.mps.recommended_max_memory()
    return psutil.virtual_memory().total


def _cuda_free(index: int) -> int:
    reusable = torch.cuda.memory_reserved(index) - torch.cuda.memory_allocated(index)
    return int(torch.cuda.mem_get_info(index)[0]) + reusable


def _cpu_free() -> int:
    """The machine's free memory, or the container's where that is less."""
    free = psutil.virtual_memory().available
    limit, used = _number(_CGROUP / "memory.max"), _number(_CGROUP / "memory.current")
    if limit is None or used is None:
        return free
    return min(free, max(0, limit - used + _page_cache()))


def _page_cache() -> int:
    """Bytes of the container's use that are file cache, which gives way."""
    try:
        lines = (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def _number(path: Path) -> int | None:
    """The integer in ``path``; None where there is none (no container, no limit)."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def held_bytes(device: str) -> int:
    """Bytes held now: what torch has allocated on a GPU, else what the process occupies."""
    if device.startswith("cuda"):
        return sum(torch.cuda.memory_allocated(index) for index in cuda_devices(device))
    if device == "mps":
        return torch.mps.current_allocated_memory()
    return psutil.Process().memory_info().rss


def release() -> None:
    """Give freed memory back, also a model's; empty the GPU caches."""
    heap.unsettle()
    heap.tidy()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def too_large(need: int, free: int, device: str) -> ResourceError:
    """The sentence for a model of ``need`` bytes where ``free`` are."""
    return ResourceError(
        "memory-short",
        "The model needs about {need} GB of memory and {free} GB are free on {device}: "
        "choose a quantization, another device or the nano model, or close other programs.",
        need=gigabytes(need),
        free=gigabytes(free),
        device=device,
    )


def out_of_memory(device: str) -> ResourceError:
    """The sentence for memory that ran out in the middle of the work."""
    return ResourceError(
        "memory-out",
        "The memory of {device} ran out: choose a quantization, send shorter or smaller media, "
        "or begin a new conversation.",
        device=device,
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # The CPU allocator and Metal raise a plain RuntimeError.
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "not enough memory" in text or "out of memory" in text or "can't allocate memory" in text
    )
