"""Which plan fits into the memory that is free, and which parts go to which device.

Knows: sizes from file headers, free memory, the order of plans. Does not know: what a plan takes
(:mod:`omni.loading.memory`), how loading is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from typing import Any, TypeAlias

import torch

from omni import devices
from omni.config import OmniConfig
from omni.errors import ResourceError, gigabytes
from omni.loading.checkpoint import Checkpoint
from omni.loading.memory import PUBLISHED_VOCODER_BYTES, Need, component_bytes, needed
from omni.loading.offload import device_map
from omni.loading.plans import PLANS, Plan, default_plan
from omni.loading.quantization import BITS, QUANTIZED_PREFIX, runs_here
from omni.model.omni import OmniForCausalLM
from omni.settings import NANO, PUBLISHED_MODEL, QuantizationChoice

DeviceMap: TypeAlias = dict[str, str]


@dataclass(frozen=True)
class Placement:
    """The plan that was chosen, where its parts go, and the estimate behind it."""

    plan: Plan
    places: DeviceMap  # the weights of each module, as they are loaded
    device: str  # where the model runs: one device, or cuda for several
    need: int  # bytes
    free: int  # bytes

    @property
    def sentence(self) -> str:
        """The estimate, for people."""
        return (
            f"{self.plan.name} needs about {gigabytes(self.need)} GB, "
            f"{self.device} has {gigabytes(self.free)} GB free"
        )


def choose_model(wanted: str, quantization: QuantizationChoice, device: str) -> str:
    """``wanted``, or for auto the published model where a GPU is large enough, else nano."""
    if wanted != "auto":
        return wanted
    if device == "cpu":
        return NANO
    plans = candidates(quantization, device)
    need = min(published_need(plan).device for plan in plans)
    return PUBLISHED_MODEL if need <= devices.total_bytes(device) else NANO


@dataclass(frozen=True, eq=False)
class Measures:
    """What the estimate of a checkpoint is made from."""

    shapes: Mapping[str, tuple[int, ...]]  # of every tensor, by name
    config: Mapping[str, Any]  # config.json, or what has its keys
    layers: int  # of the language model
    beside: int  # bytes of the vocoder, and of whatever else is put beside the model

    @property
    def parameters(self) -> int:
        """The number of values."""
        return sum(prod(shape) for shape in self.shapes.values())

    def need(self, plan: Plan, dtype_bytes: int, **more: bool) -> Need:
        """What it takes under ``plan``; see :func:`omni.loading.memory.needed`."""
        return needed(self.shapes, self.config, plan, dtype_bytes, self.beside, **more)


def measured(config: OmniConfig, beside: int) -> Measures:
    """The measures of a model that need not be on this disk."""
    with torch.device("meta"):
        state = OmniForCausalLM(config).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    return Measures(shapes, config.to_dict(), config.num_hidden_layers, beside)


@cache
def published() -> Measures:
    """Of the published model, before it is fetched."""
    return measured(OmniConfig(), PUBLISHED_VOCODER_BYTES)


@cache
def published_need(plan: Plan) -> Need:
    """What the published model takes in 16 bits, before it is fetched."""
    return published().need(plan, 2)


def candidates(
    quantization: QuantizationChoice, device: str, offload: bool | None = None
) -> list[Plan]:
    """The plans that may be chosen from for ``device``, the best first."""
    names = BITS if quantization == "auto" else (quantization,)
    if not runs_here(device):
        names = ("none",)
    if not device.startswith("cuda"):
        return [default_plan(name, device) for name in names]
    plans = [plan for plan in PLANS if plan.quantization in names]
    if offload is None:
        return plans
    return list(dict.fromkeys(replace(plan, offload=offload) for plan in plans))


def place(
    checkpoint: Checkpoint,
    config: OmniConfig,
    device: str,
    dtype: torch.dtype,
    vocoder_bytes: int,
    quantization: QuantizationChoice = "auto",
    offload: bool | None = None,
) -> Placement:
    """The best plan that fits, and where its parts go.

    The plans are tried in their order, each on the device with most room and, without offload, on
    all GPUs together: that spares a quantization.

    Raises:
        ResourceError: none fits.
    """
    shapes = {name: info.shape for name, info in checkpoint.tensors.items()}
    measures = Measures(shapes, config.to_dict(), config.num_hidden_layers, vocoder_bytes)
    return fitting(measures, device, dtype.itemsize, free_bytes(device), quantization, offload)


def fitting(
    measures: Measures,
    device: str,
    dtype_bytes: int,
    free: Mapping[str, int],
    quantization: QuantizationChoice = "auto",
    offload: bool | None = None,
) -> Placement:
    """See :func:`place`.

    Args:
        free: bytes of each device (:func:`free_bytes`).

    Raises:
        ResourceError: none fits.
    """
    roomiest = max(free, key=lambda name: free[name])
    for plan in candidates(quantization, device, offload):
        need = measures.need(plan, dtype_bytes).device
        if need <= free[roomiest]:
            places = device_map(plan, roomiest)
            return Placement(plan, places, roomiest, need, free[roomiest])
        if len(free) == 1 or plan.offload:
            continue
        whole = replace(plan, lm_head_8bit=False)  # over several GPUs no plan is carried out
        parts = measures.need(whole, dtype_bytes, keep_unused=True)
        blocks = component_bytes(measures.shapes, whole, dtype_bytes)["layers"] + parts.cache
        count = measures.layers
        try:
            places = spread(count, blocks // count, parts.device - blocks, free)
        except ResourceError:
            continue  # a smaller plan may fit
        return Placement(whole, places, device, parts.device, sum(free.values()))
    raise devices.too_large(need, free[roomiest], device)


def free_bytes(device: str) -> dict[str, int]:
    """Free bytes of each device that ``device`` stands for: all GPUs for ``cuda``."""
    if not device.startswith("cuda"):
        return {device: devices.free_bytes(device)}
    names = [f"cuda:{index}" for index in devices.cuda_devices(device)]
    return {name: devices.free_bytes(name) for name in names}


def spread(layers: int, layer_bytes: int, first_bytes: int, free: Mapping[str, int]) -> DeviceMap:
    """Blocks over GPUs in their order, in proportion to the room that each has for them.

    Args:
        layers: number of blocks.
        layer_bytes: bytes of one, with its share of the KV cache.
        first_bytes: bytes of everything else, for the first GPU.
        free: free bytes of each GPU; the one with most becomes the first.

    Raises:
        ResourceError: no such spread fits.
    """
    names = sorted(free, key=lambda name: -free[name])
    room = [
        max(0, free[name] - (0 if i else first_bytes)) // layer_bytes
        for i, name in enumerate(names)
    ]
    if free[names[0]] < first_bytes or sum(room) < layers:
        need = first_bytes + layers * layer_bytes
        raise devices.too_large(need, sum(free.values()), "all GPUs together")
    counts = [layers * share // sum(room) for share in room]
    for i in sorted(range(len(names)), key=lambda i: counts[i] - room[i]):
        counts[i] += min(room[i] - counts[i], layers - sum(counts))
    placed: DeviceMap = {"": names[0]}
    layer = 0
    for name, count in zip(names, counts, strict=True):
        for _ in range(count):
            placed[f"{QUANTIZED_PREFIX}{layer}"] = name
            layer += 1
    return placed
