"""What a measurement ran on: CPU and the features that decide its speed, GPU, versions, load.

Knows: the machine. Does not know: models.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil
import torch

# Instruction sets that make matrix products fast, the fastest last.
FEATURES = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_bf16",
    "asimd",
    "sve",
    "bf16",
)


def about_machine() -> dict[str, object]:
    """Names and versions, ready for JSON."""
    about: dict[str, object] = {
        "cpu": cpu_name(),
        "cpu_features": [name for name in FEATURES if name in cpu_flags()],
        "cores": psutil.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "torch": torch.__version__,
        "system": platform.system(),
    }
    if torch.cuda.is_available():
        about["gpu"] = torch.cuda.get_device_name(0)
    if hasattr(os, "getloadavg"):
        about["load_before"] = round(os.getloadavg()[0], 2)  # over 0: others were at work
    return about


def cpu_name() -> str:
    """The CPU's name as the system tells it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def cpu_flags() -> set[str]:
    """Features by the kernel's names; on systems that do not tell, those that torch knows."""
    flags = _cpuinfo("flags") or _cpuinfo("Features")
    if flags:
        return set(flags.split())
    if hasattr(torch.cpu, "get_capabilities"):
        return {name for name, has in torch.cpu.get_capabilities().items() if has is True}
    return set()


def _cpuinfo(field: str) -> str:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return ""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""


def sentence(about: dict[str, object]) -> str:
    """The machine in one line."""
    features = about["cpu_features"]
    assert isinstance(features, list)
    parts = [f"{about['cpu']}, {about['cores']} cores ({', '.join(features) or 'no SIMD known'})"]
    if "gpu" in about:
        parts.append(str(about["gpu"]))
    parts.append(f"{about['memory_gb']} GB memory")
    parts.append(f"{about['threads']} threads, torch {about['torch']}, {about['system']}")
    if "load_before" in about:
        parts.append(f"load average {about['load_before']} before the run")
    return "; ".join(parts)
