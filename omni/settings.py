"""What the person chose to load, and what was loaded.

Knows: plain values. Does not know: how loading works.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from omni.loading.quantization import QuantizationChoice

GIB = 1024**3
NANO = "nano"
PUBLISHED_MODEL = "baichuan-inc/Baichuan-Omni-1d5"
PUBLISHED_BASE = "baichuan-inc/Baichuan-Omni-1d5-Base"


@dataclass(frozen=True)
class EngineSettings:
    """``model``: auto (the published one where a GPU holds it, else nano), nano, a folder, or a
    model's name on the Hugging Face Hub. ``device``: auto, cpu, mps, cuda (all), cuda:N.
    ``dtype``: auto, float32, bfloat16, float16. ``quantization``: auto is the best plan that fits
    (:mod:`omni.loading.plans`). ``offload``: the token table and the towers on the host; None: as
    the plan has it. ``flow_steps``: Euler steps from codes to mel; None: the checkpoint's own,
    fewer are faster and less exact (docs/performance.md). ``compile``: off runs every step
    operation by operation; on and auto record steps as CUDA graphs where that is possible.
    ``session_bytes``: what sessions may keep of their contexts and media from turn to turn, all
    together.
    """

    model: str = "auto"
    quantization: QuantizationChoice = "auto"
    device: str = "auto"
    dtype: str = "auto"
    offload: bool | None = None
    flow_steps: int | None = None
    compile: Literal["auto", "on", "off"] = "auto"
    session_bytes: int = GIB


@dataclass(frozen=True)
class LoadReport:
    """What is loaded now."""

    checkpoint: str  # nano, a Hub id, or a folder
    parameters: int  # of the model and the vocoder
    dtype: str  # of the model; the vocoder is float32 always
    dtype_reason: str
    device: str
    quantization: str
    memory_bytes: int  # held after loading: on the GPU, else by the process
    load_s: float
    trained: bool  # False: random weights, for trying the program out
    device_reason: str = ""
    plan: str = ""  # quantization and offload in words
    memory_reason: str = ""  # what was estimated, and what was free
    speech_dtype: str = ""  # of codes to mel
    speech_dtype_reason: str = ""
