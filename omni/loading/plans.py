"""Plans: how many bits each part gets and where it waits, what that needs, and which plan fits.

Knows: the parts of the architecture by name, bytes from shapes, the order of plans from the best
to the smallest. Does not know: files, how a plan is carried out (:mod:`omni.loading.offload`).

Why these plans (docs/performance.md has the measurements). The blocks of the language model are
three fifths of the weights and the only part that is read for every text token and every audio
frame: they are quantized first. The audio head, the quantizer's codebooks and everything between
codes and sound stay in the model's dtype, so that speech stays intact. The table of token
embeddings gives one row a token: the host's memory serves it as well. The towers work once a
picture or recording: their layers visit the device one after the other for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, TypeAlias

from omni.loading.quantization import QUANTIZED_PREFIX, WEIGHT_BYTES, Quantization

Part: TypeAlias = Literal[
    "layers",
    "lm_head",
    "token_table",
    "code_tables",
    "audio_head",
    "vision",
    "audio_encoder",
    "audio_bridge",
    "audio_decoder",
    "flow",
    "unused",
    "other",
]
PART_PREFIXES: Mapping[Part, tuple[str, ...]] = {
    "layers": (QUANTIZED_PREFIX,),
    "lm_head": ("lm_head.",),
    "token_table": ("model.embed_tokens.",),
    "code_tables": ("model.audio_embed_layers.",),
    "audio_head": ("audio_head.",),
    "vision": ("model.visual_model.", "model.visual_bridge_model."),
    "audio_encoder": ("audio_tokenizer.audio_model.",),
    "audio_bridge": ("audio_tokenizer.audio_bridge_model.",),
    "audio_decoder": ("audio_tokenizer.audio_decoder.",),
    "flow": ("audio_tokenizer.audio_flow_matching_decoder.",),
}
# Tensors of the checkpoint that nothing reads when the model runs (neither the audio head's biases,
# but these are too small to be worth the gap).
_UNUSED_ENDINGS = (
    ".codebook.cluster_size",
    ".codebook.embed_avg",
    ".prenet.positional_embedding",
)
_UNUSED_INSIDE = (
    "audio_tokenizer.audio_decoder.dconv2.",
    "audio_tokenizer.audio_decoder.post_net.",
)

TABLES: tuple[str, ...] = ("model.embed_tokens",)  # on the host: a row goes to the device
VISITORS: tuple[str, ...] = (  # on the host: each layer goes to the device while it works
    "model.visual_model.blocks",
    "model.visual_bridge_model",
    "audio_tokenizer.audio_model.layers",
)

CONTEXT_FRAMES = 600  # of mel that the flow looks back at (12 s)
SHORT_CONTEXT_FRAMES = 300
MEMORY_ROOM = 128  # frames by which the flow's memory grows
TURN_POSITIONS = 8192  # of the KV cache that an estimate counts on: minutes of speech
WORKING_BYTES = 250_000_000  # activations, libraries' buffers, a matrix multiplied out


@dataclass(frozen=True)
class Plan:
    """What is stored in few bits, and what waits on the host."""

    quantization: Quantization = "none"  # of the language model's blocks
    lm_head_8bit: bool = False
    offload: bool = False  # the token table and the towers on the host
    context_frames: int = CONTEXT_FRAMES  # what the flow remembers

    @property
    def host_modules(self) -> tuple[str, ...]:
        """Modules whose weights are on the host."""
        return TABLES + VISITORS if self.offload else ()

    @property
    def name(self) -> str:
        """As a person reads it: ``4bit``, ``none with offload``."""
        return f"{self.quantization} with offload" if self.offload else self.quantization

    def weight_bytes(self, part: Part, matrix: bool, dtype_bytes: int) -> float:
        """Bytes of one value of a tensor of ``part``."""
        if part == "layers" and matrix:
            return WEIGHT_BYTES.get(self.quantization, dtype_bytes)
        if part == "lm_head" and self.lm_head_8bit:
            return WEIGHT_BYTES["8bit"]
        return dtype_bytes

    def on_host(self, name: str) -> bool:
        """Whether the tensor ``name`` waits on the host."""
        return any(name.startswith(f"{module}.") for module in self.host_modules)


# From the best to the smallest, for one GPU.
PLANS: tuple[Plan, ...] = (
    Plan(),
    Plan(offload=True),
    Plan("8bit", offload=True),
    Plan("4bit", lm_head_8bit=True, offload=True, context_frames=SHORT_CONTEXT_FRAMES),
)


def part_of(name: str) -> Part:
    """The part that the tensor ``name`` belongs to."""
    if name.endswith(_UNUSED_ENDINGS) or name.startswith(_UNUSED_INSIDE):
        return "unused"
    for part, prefixes in PART_PREFIXES.items():
        if name.startswith(prefixes):
            return part
    return "other"


def default_plan(quantization: Quantization, device: str, offload: bool | None = None) -> Plan:
    """The plan that a quantization stands for.

    On the CPU everything is in the one memory already, and few-bit products are slow there: the
    blocks of the language model alone are quantized, to make the model fit.

    Args:
        offload: None: as the plan has it.
    """
    if device in ("cpu", "mps"):
        return Plan(quantization)
    plan = next(plan for plan in PLANS if plan.quantization == quantization)
    return plan if offload is None else replace(plan, offload=offload)


@dataclass(frozen=True)
class Need:
    """Bytes that a plan takes."""

    weights: int  # on the device
    host: int  # in the host's memory
    visitor: int  # the largest layer that visits the device
    cache: int  # keys and values of the language model
    speech: int  # what the flow remembers of a segment
    vocoder: int

    @property
    def device(self) -> int:
        """The most that the device holds at a time: while it hears or sees, or while it speaks."""
        resident = self.weights + self.vocoder + self.cache + WORKING_BYTES
        return resident + max(self.visitor, self.speech)


def needed(
    shapes: Mapping[str, tuple[int, ...]],
    config: Mapping[str, object],
    plan: Plan,
    dtype_bytes: int,
    vocoder_bytes: int,
    positions: int = TURN_POSITIONS,
) -> Need:
    """What a model of these tensors takes under ``plan``.

    Args:
        shapes: of every tensor, by name.
        config: config.json, or what has its keys.
        dtype_bytes: of a value that is not quantized.
        positions: of the KV cache, at most the longest context.
    """
    weights = host = 0.0
    visits: dict[str, float] = {}
    for name, shape in shapes.items():
        size = tensor_bytes(name, shape, plan, dtype_bytes)
        if not plan.on_host(name):
            weights += size if part_of(name) != "unused" else 0
            continue
        host += size
        for module in VISITORS:
            if name.startswith(f"{module}."):
                layer = ".".join(name.split(".")[: module.count(".") + 2])
                visits[layer] = visits.get(layer, 0.0) + size
    return Need(
        weights=round(weights),
        host=round(host),
        visitor=round(max(visits.values(), default=0)),
        cache=cache_bytes(config, dtype_bytes, positions),
        speech=speech_bytes(config, dtype_bytes, plan.context_frames),
        vocoder=vocoder_bytes,
    )


def tensor_bytes(name: str, shape: tuple[int, ...], plan: Plan, dtype_bytes: int) -> float:
    """Bytes of one tensor under ``plan``."""
    matrix = len(shape) == 2 and name.endswith(".weight")
    return prod(shape) * plan.weight_bytes(part_of(name), matrix, dtype_bytes)


def part_bytes(
    shapes: Mapping[str, tuple[int, ...]], plan: Plan, dtype_bytes: int
) -> dict[Part, int]:
    """Bytes of each part under ``plan``."""
    sums: dict[Part, float] = {}
    for name, shape in shapes.items():
        part = part_of(name)
        sums[part] = sums.get(part, 0.0) + tensor_bytes(name, shape, plan, dtype_bytes)
    return {part: round(size) for part, size in sums.items()}


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
    kept = (frames // MEMORY_ROOM + 1) * MEMORY_ROOM
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


def best_fitting(needs: Iterable[tuple[Plan, Need]], free: int) -> tuple[Plan, Need] | None:
    """The first plan that fits into ``free`` bytes."""
    return next(((plan, need) for plan, need in needs if need.device <= free), None)


def _number(values: Mapping[str, object], key: str) -> int:
    value = values.get(key, 0)
    return value if isinstance(value, int) else 0
