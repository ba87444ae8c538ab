"""Which parts run in 8 or 4 bits, by bitsandbytes, and which stay precise.

Knows: module names, what quantizing each costs and saves. Does not know: files, loading.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from omni.errors import ResourceError
from omni.events import Progress
from omni.loading.progress.background import LAID_OUT, Report
from omni.settings import QUANTIZATIONS, QuantizationChoice

if TYPE_CHECKING:
    import torch
    from torch import nn

    from omni.libraries.hugging_face import BitsAndBytesConfig, PretrainedConfig

Quantization: TypeAlias = Literal["none", "8bit", "4bit"]
BITS: tuple[Quantization, ...] = ("none", "8bit", "4bit")

# Just the linear layers of the language model's blocks: three fifths of the published parameters,
# and the only ones read for every text token and every audio frame.
QUANTIZED_PREFIX = "model.layers."
# The rest, with the reason why it stays in the model's dtype.
PRECISE_MODULES = {
    "audio_head": "errors of the codes add up over the frames, and long speech falls apart",
    "lm_head": "its rounding changes which token wins; a plan may still round it to 8 bits",
    "model.embed_tokens": "a table look-up, no product",
    "model.audio_embed_layers": "a table look-up, no product",
    "model.norm": "a vector",
    "model.visual_model": "runs once a picture, where the time goes into products of many rows",
    "model.visual_bridge_model": "a small layer through which all pictures pass",
    "audio_tokenizer": "codes come from the nearest entry, and sound from ten flow steps",
}
# Bytes of a weight: 4 bits, and a byte of scale for every 64 weights, itself scaled.
WEIGHT_BYTES: dict[Quantization, float] = {"8bit": 1.0, "4bit": 0.5 + 1.03 / 64}


def runs_here(device: str) -> bool:
    """Whether 8 and 4 bits can run on ``device``."""
    return device != "mps" and importlib.util.find_spec("bitsandbytes") is not None


def check_available(quantization: QuantizationChoice, device: str) -> None:
    """Refuse what cannot run here.

    Raises:
        ResourceError: an unknown name, a device or an installation without it.
    """
    if quantization not in QUANTIZATIONS:
        raise ResourceError(
            "quantization-unknown",
            "There is no quantization {quantization}: choose auto, none, 8bit or 4bit.",
            quantization=quantization,
        )
    if quantization in ("auto", "none"):
        return
    if device == "mps":
        raise ResourceError(
            "quantization-device",
            "{quantization} does not run on {device}: choose quantization none, or device cpu.",
            quantization=quantization,
            device=device,
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ResourceError(
            "quantization-missing",
            "{quantization} needs the package bitsandbytes, which is not installed here: "
            "run `pip install bitsandbytes`, or choose quantization none.",
            quantization=quantization,
        )


def quantization_config(
    quantization: Quantization, dtype: torch.dtype, offload: bool = False
) -> BitsAndBytesConfig | None:
    """What ``from_pretrained`` needs for ``quantization``; None for none.

    ``offload``: some modules are placed on the CPU of a model that runs elsewhere.

    8 bits: LLM.int8(), columns with outliers above 6 computed in ``dtype``. 4 bits: normal float
    (nf4), computed in ``dtype``.
    """
    if quantization == "none":
        return None
    from omni.libraries.hugging_face import BitsAndBytesConfig

    precise = list(PRECISE_MODULES)
    if quantization == "8bit":
        return BitsAndBytesConfig(
            load_in_8bit=True,
            llm_int8_skip_modules=precise,
            llm_int8_enable_fp32_cpu_offload=offload,
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=precise,
        llm_int8_enable_fp32_cpu_offload=offload,
    )


def be_quiet() -> None:
    """Keep bitsandbytes from warning of what nobody can change here."""
    for name in (
        "bitsandbytes.autograd._functions",  # at every product: inputs are rounded to float16
        "bitsandbytes.backends.cpu.ops",  # once: an optional package of kernels is not installed
    ):
        logging.getLogger(name).setLevel(logging.ERROR)


be_quiet()  # before anything imports bitsandbytes, which says it then


def stored_config(quantization: Quantization, dtype: torch.dtype) -> dict[str, Any]:
    """``quantization_config`` of a config.json whose weights are in few bits already."""
    config = quantization_config(quantization, dtype)
    assert config is not None
    values: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return {name: value for name, value in values.items() if not name.startswith("_")}


def config_to_load(
    config: PretrainedConfig, quantization: Quantization, dtype: torch.dtype, offload: bool
) -> BitsAndBytesConfig | None:
    """What ``from_pretrained`` needs; None also where the files of ``config`` are in few bits.

    Then what this load wants is put into ``config``; what the weights are (kind of 4 bits, whether
    scales are quantized) stays as the files have it.
    """
    wanted = quantization_config(quantization, dtype, offload)
    stored = getattr(config, "quantization_config", None)
    if wanted is None or stored is None:
        return wanted
    values: dict[str, Any] = json.loads(wanted.to_json_string(use_diff=False))
    names = (
        "bnb_4bit_compute_dtype",
        "llm_int8_skip_modules",
        "llm_int8_enable_fp32_cpu_offload",
        "llm_int8_threshold",
    )
    config.quantization_config = dict(stored) | {name: values[name] for name in names}
    return None


def is_quantized(name: str, dimensions: int) -> bool:
    """Whether the tensor ``name`` of a checkpoint is stored in few bits after loading."""
    return name.startswith(QUANTIZED_PREFIX) and name.endswith(".weight") and dimensions == 2


def by_pieces(quantizes: bool, look_up: Callable[[], None]) -> AbstractContextManager[object]:
    """Inside it, weights on the CPU are quantized piece by piece; ``look_up`` may end it between
    two.
    """
    if not quantizes:
        return nullcontext()
    from omni.model.layers.rounding import ByPieces

    return ByPieces(look_up)


def laid_out(model: nn.Module, report: Report = lambda progress: None) -> None:
    """Do now what a CPU would do with the weights at their first use; ``report`` may end it."""
    if "bitsandbytes" not in sys.modules:  # nothing is in few bits
        return
    from omni.model.layers import cpu_layout

    waiting = cpu_layout.waiting(model)
    for done, layer in enumerate(waiting):
        report(Progress("warm", LAID_OUT * done / len(waiting), 1))
        cpu_layout.lay_out(layer)
