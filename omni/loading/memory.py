"""How much memory a model takes under a plan, on every device: the one estimate.

Knows: bytes from shapes, the keys and values of a spoken turn, what the flow remembers.
Does not know: files, how much is free, which plan is chosen (:mod:`omni.loading.placement`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from omni.loading.plans import OFFLOADED_STACKS, Component, Plan, component_of
from omni.loading.quantization import WEIGHT_BYTES, is_quantized
from omni.model.layers.whisper import GrowingPair

TURN_POSITIONS = 8192  # of the KV cache that an estimate counts on: minutes of speech
WORKING_BYTES = 250_000_000  # activations, libraries' buffers, a matrix multiplied out
PUBLISHED_VOCODER_BYTES = 83_300_000  # float32


@dataclass(frozen=True)
class Need:
    """Bytes that a model takes under a plan."""

    weights: int  # on the device
    host: int  # in the host's memory
    onloaded: int  # the largest of the layers that are on the device just while they run
    cache: int  # keys and values of the language model
    speech: int  # what the flow remembers of a segment
    vocoder: int

    @property
    def device(self) -> int:
        """The most that the device holds at a time: while it encodes media, or while it speaks."""
        resident = self.weights + self.vocoder + self.cache + WORKING_BYTES
        return resident + max(self.onloaded, self.speech)


def needed(
    shapes: Mapping[str, tuple[int, ...]],
    config: Mapping[str, object],
    plan: Plan,
    dtype_bytes: int,
    vocoder_bytes: int,
    positions: int = TURN_POSITIONS,
    keep_unused: bool = False,
) -> Need:
    """What a model of these tensors takes under ``plan``.

    Args:
        shapes: of every tensor, by name.
        config: config.json, or what has its keys.
        dtype_bytes: of a value that is not quantized.
        positions: of the KV cache, at most the longest context.
        keep_unused: whether tensors that nothing reads stay on the device, as on several GPUs.
    """
    weights = host = 0.0
    layers: dict[str, float] = {}
    for name, shape in shapes.items():
        size = tensor_bytes(name, shape, plan, dtype_bytes)
        if not plan.on_host(name):
            weights += size if keep_unused or component_of(name) != "unused" else 0
            continue
        host += size
        for module in OFFLOADED_STACKS:
            if name.startswith(f"{module}."):
                layer = ".".join(name.split(".")[: module.count(".") + 2])
                layers[layer] = layers.get(layer, 0.0) + size
    return Need(
        weights=round(weights),
        host=round(host),
        onloaded=round(max(layers.values(), default=0)),
        cache=cache_bytes(config, dtype_bytes, positions),
        speech=speech_bytes(config, dtype_bytes, plan.context_frames),
        vocoder=vocoder_bytes,
    )


def tensor_bytes(name: str, shape: tuple[int, ...], plan: Plan, dtype_bytes: int) -> float:
    """Bytes of one tensor under ``plan``."""
    per_value: float = dtype_bytes
    if is_quantized(name, len(shape)):
        per_value = WEIGHT_BYTES.get(plan.quantization, dtype_bytes)
    elif plan.lm_head_8bit and component_of(name) == "lm_head":
        per_value = WEIGHT_BYTES["8bit"]
    return prod(shape) * per_value


def component_bytes(
    shapes: Mapping[str, tuple[int, ...]], plan: Plan, dtype_bytes: int
) -> dict[Component, int]:
    """Bytes of each component under ``plan``."""
    sums: dict[Component, float] = {}
    for name, shape in shapes.items():
        component = component_of(name)
        sums[component] = sums.get(component, 0.0) + tensor_bytes(name, shape, plan, dtype_bytes)
    return {component: round(size) for component, size in sums.items()}


def cache_bytes(config: Mapping[str, object], dtype_bytes: int, positions: int) -> int:
    """Bytes of keys and values for ``positions``, or the longest context if that is less."""
    layers, heads, width, longest = (
        _number(config, key)
        for key in (
            "num_hidden_layers",
            "num_key_value_heads",
            "head_dim",
            "max_position_embeddings",
        )
    )
    return 2 * layers * heads * width * min(positions, longest) * dtype_bytes


def speech_bytes(config: Mapping[str, object], dtype_bytes: int, frames: int) -> int:
    """Bytes of the flow's memory: keys and values of every block, step and guidance branch."""
    flow = config.get("flow_matching_config")
    if not isinstance(flow, Mapping):
        return 0
    blocks = _number(flow, "n_blocks") * (_number(flow, "num_mid_blocks") + 2)
    width = _number(flow, "num_heads") * _number(flow, "attention_head_dim")
    kept = (frames // GrowingPair.room + 1) * GrowingPair.room
    solver = flow.get("cfm_params")
    guided = not isinstance(solver, Mapping) or solver.get("inference_cfg_rate") != 0
    branches, keys_and_values = 1 + guided, 2
    return (
        blocks
        * _number(flow, "diffusion_steps")
        * width
        * kept
        * branches
        * keys_and_values
        * dtype_bytes
    )


def _number(values: Mapping[str, object], key: str) -> int:
    value = values.get(key, 0)
    return value if isinstance(value, int) else 0
