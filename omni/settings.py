"""What the person chose to load, and what was loaded.

Knows: plain values. Does not know: how loading works.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

GIB = 1024**3
NANO = "nano"
PUBLISHED_MODEL = "baichuan-inc/Baichuan-Omni-1d5"
PUBLISHED_BASE = "baichuan-inc/Baichuan-Omni-1d5-Base"
NO_ADAPTER = "none"  # as people call the model alone

# What a person may ask for; auto: the best plan that fits (omni.loading.plans).
QuantizationChoice: TypeAlias = Literal["auto", "none", "8bit", "4bit"]
QUANTIZATIONS: tuple[QuantizationChoice, ...] = get_args(QuantizationChoice)


def positive(text: str) -> int:
    """A whole number above zero, as a flag gives it.

    Raises:
        ValueError: it is none.
    """
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


@dataclass(frozen=True)
class EngineSettings:
    """What to load, and how."""

    # auto (the published model where a GPU holds it, else nano), nano, a folder, or a model's name
    # on the Hugging Face Hub (owner/name, or owner/name@revision)
    model: str = "auto"
    quantization: QuantizationChoice = "auto"  # of the weights
    device: str = "auto"  # auto, cpu, mps, cuda (all GPUs) or cuda:N
    dtype: str = "auto"  # of the weights: auto, float32, bfloat16 or float16
    # Whether the token table and the towers stay in the host's memory; None: as the plan has it.
    offload: bool | None = None
    # Euler steps from codes to mel; None: the checkpoint's own. Fewer are faster and less exact
    # (docs/performance.md).
    flow_steps: int | None = None
    # Larger pictures are reduced to so many pixels; None: the checkpoint's own limit, on a CPU what
    # it reads in less than half a minute (measured at loading).
    max_pixels: int | None = None
    # off: every step runs operation by operation; on and auto: steps are captured as CUDA graphs
    # where that is possible.
    compile: Literal["auto", "on", "off"] = "auto"
    # Whether weights that are quantized while loading are kept on the disk for the next load; what
    # is kept already is used in any case.
    keep_quantized: bool = False
    # What all sessions together may keep of their contexts and media from turn to turn.
    session_bytes: int = GIB
    # Adapters that are loaded beside the model: folders, or names on the Hugging Face Hub. Another
    # choice of them does not load the model again.
    adapters: tuple[str, ...] = ()
    # Of these, the one that answers where a request names none; empty: the model alone.
    adapter: str = ""


def with_adapter(settings: EngineSettings, name: str) -> EngineSettings:
    """``settings`` with the adapter ``name`` at work, beside those that are there already.

    Args:
        name: empty or :data:`NO_ADAPTER`: the model alone.
    """
    if name in ("", NO_ADAPTER):
        return replace(settings, adapter="")
    adapters = dict.fromkeys((*settings.adapters, name))
    return replace(settings, adapters=tuple(adapters), adapter=name)


def same_model(loaded: EngineSettings | None, wanted: EngineSettings) -> bool:
    """Whether the two differ in adapters at most, which come and go beside the model."""
    return (
        loaded is not None
        and replace(loaded, adapters=wanted.adapters, adapter=wanted.adapter) == wanted
    )


@dataclass(frozen=True)
class LoadReport:
    """What is loaded now."""

    checkpoint: str  # nano, a Hub id, or a folder
    parameters: int  # of the model and the vocoder
    dtype: str  # of the model; the vocoder is float32 always
    dtype_reason: str  # why this dtype
    device: str  # where the language model is
    quantization: str  # of the language model's blocks: none, 8bit or 4bit
    memory_bytes: int  # held after loading: on the GPU, else by the process
    load_s: float  # seconds that loading took
    trained: bool  # False: random weights, for trying the program out
    revision: str = ""  # the commit on the Hub whose files these are; "": they are not from there
    device_reason: str = ""  # why this device
    plan: str = ""  # quantization and offload in words
    memory_reason: str = ""  # what was estimated, and what was free
    planned_bytes: int = 0  # the estimate: the most that the device holds in a spoken turn
    speech_dtype: str = ""  # of the modules from codes to mel
    speech_dtype_reason: str = ""  # why this dtype
    phases: tuple[tuple[str, float], ...] = ()  # of loading, with the seconds of each
    # Whether the quantized weights were read from where they are kept, or are kept by now.
    kept: bool = False
    keep_bytes: int = 0  # what they take on the disk, at most; 0: there is nothing to keep
    max_pixels: int = 0  # of a picture; larger ones are reduced. 0: not known
    # Seconds that a second of speech takes on this CPU, measured; 0: not measured, as on a GPU or
    # for a small model
    speech_s: float = 0.0
