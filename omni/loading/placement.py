"""How much memory a checkpoint needs, which plan fits, and which of its parts go to which GPU.

Knows: sizes from file headers, free memory, the order of plans. Does not know: how loading is done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

import torch

from omni import devices
from omni.config import OmniConfig
from omni.errors import ResourceError, gigabytes
from omni.loading.checkpoint import Checkpoint
from omni.loading.offload import device_map as few_bit_map
from omni.loading.plans import PLANS, Need, Plan, default_plan, needed
from omni.loading.quantization import (
    BITS,
    QUANTIZED_PREFIX,
    Quantization,
    runs_here,
)
from omni.model.omni import OmniForCausalLM
from omni.settings import NANO, PUBLISHED_MODEL, QuantizationChoice

DeviceMap: TypeAlias = dict[str, str]

WORKING_BYTES = 200_000_000  # of a turn, besides weights and KV cache: libraries' buffers,
WORKING_SHARE = 0.05  # and activations, which grow with the model: this share of its weights
PUBLISHED_VOCODER_BYTES = 83_300_000


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


@cache
def published_need(plan: Plan) -> Need:
    """What the published model takes in 16 bits, before it is fetched."""
    config = OmniConfig()
    with torch.device("meta"):
        state = OmniForCausalLM(config).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    return needed(shapes, config.to_dict(), plan, 2, PUBLISHED_VOCODER_BYTES)


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

    On one GPU the plans of :mod:`omni.loading.plans` are tried in their order; of several GPUs the
    one with most room is, or all of them together, where that spares a quantization.

    Raises:
        ResourceError: none fits.
    """
    plans = candidates(quantization, device, offload)
    if not device.startswith("cuda"):
        return _placed_whole(checkpoint, device, dtype, vocoder_bytes, plans)
    indices = devices.cuda_devices(device)
    free = {f"cuda:{index}": devices.free_bytes(f"cuda:{index}") for index in indices}
    roomiest = max(free, key=lambda name: free[name])
    shapes = {name: info.shape for name, info in checkpoint.tensors.items()}
    for plan in plans:
        need = needed(shapes, config.to_dict(), plan, dtype.itemsize, vocoder_bytes).device
        if need <= free[roomiest]:
            places = few_bit_map(plan, roomiest)
            return Placement(plan, places, roomiest, need, free[roomiest])
        if len(free) > 1 and not plan.offload:
            try:
                return _placed_whole(checkpoint, device, dtype, vocoder_bytes, [plan])
            except ResourceError:
                continue  # a smaller plan may fit
    raise devices.too_large(need, free[roomiest], device)


def _placed_whole(
    checkpoint: Checkpoint, device: str, dtype: torch.dtype, vocoder_bytes: int, plans: list[Plan]
) -> Placement:
    """Everything on ``device``, spread over several where it stands for these."""
    free = devices.free_bytes(device)
    for plan in plans:
        need = needed_bytes(checkpoint, vocoder_bytes, dtype, plan.quantization)
        if need > free and plan != plans[-1]:
            continue
        places = device_map(checkpoint, device, need, dtype, plan.quantization)
        name = device if len(places) > 1 else places[""]
        return Placement(replace(plan, lm_head_8bit=False), places, name, need, free)
    raise AssertionError("there is a plan at least")


def needed_bytes(
    checkpoint: Checkpoint, vocoder_bytes: int, dtype: torch.dtype, quantization: Quantization
) -> int:
    """Bytes for the weights, a KV cache of the whole context, the vocoder and the work itself."""
    weights = checkpoint.loaded_bytes(dtype.itemsize, quantization)
    working = WORKING_BYTES + int(weights * WORKING_SHARE)
    return weights + checkpoint.cache_bytes(dtype.itemsize) + vocoder_bytes + working


def device_map(
    checkpoint: Checkpoint, device: str, need: int, dtype: torch.dtype, quantization: Quantization
) -> DeviceMap:
    """Modules to devices, as transformers reads it.

    On one device everything is there. On several GPUs the language model's blocks are spread and
    all the rest, whose parts call each other's methods, stays on the first.

    Raises:
        ResourceError: it does not fit.
    """
    devices.check_fits(need, device)
    if device != "cuda":
        return {"": device}
    free = {
        f"cuda:{index}": devices.free_bytes(f"cuda:{index}")
        for index in devices.cuda_devices(device)
    }
    roomiest = max(free, key=lambda name: free[name])
    if need <= free[roomiest]:
        return {"": roomiest}
    layers = int(checkpoint.config["num_hidden_layers"])
    in_layers = checkpoint.loaded_bytes(dtype.itemsize, quantization, QUANTIZED_PREFIX)
    cache = checkpoint.cache_bytes(dtype.itemsize)
    first = need - in_layers - cache
    return spread(layers, (in_layers + cache) // layers, first, free)


def spread(layers: int, layer_bytes: int, first_bytes: int, free: dict[str, int]) -> DeviceMap:
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
