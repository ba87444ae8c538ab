"""Plans: how many bits each component of the model gets, and where it waits.

Knows: the components of the architecture by name, the order of plans from the best to the smallest.
Does not know: files, what a plan takes (:mod:`omni.loading.memory`), how it is carried out
(:mod:`omni.loading.offload`).

Why these plans (docs/performance.md has the measurements). The blocks of the language model are
three fifths of the weights and the only part that is read for every text token and every audio
frame: they are quantized first. The audio head, the quantizer's codebooks and everything between
codes and sound stay in the model's dtype, so that speech stays intact. The table of token
embeddings gives one row a token: the host's memory serves it as well. The towers work once a
picture or recording: their layers are on the device one after the other, while they run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from omni.loading.quantization import QUANTIZED_PREFIX, Quantization

Component: TypeAlias = Literal[
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
COMPONENT_PREFIXES: Mapping[Component, tuple[str, ...]] = {
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

HOST_TABLES: tuple[str, ...] = ("model.embed_tokens",)  # rows that are looked up go to the device
OFFLOADED_STACKS: tuple[str, ...] = (  # each layer goes to the device while it runs
    "model.visual_model.blocks",
    "model.visual_bridge_model",
    "audio_tokenizer.audio_model.layers",
)

CONTEXT_FRAMES = 600  # of mel that the flow looks back at (12 s)
SHORT_CONTEXT_FRAMES = 300


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
        return HOST_TABLES + OFFLOADED_STACKS if self.offload else ()

    @property
    def name(self) -> str:
        """As a person reads it: ``4bit``, ``none with offload``."""
        return f"{self.quantization} with offload" if self.offload else self.quantization

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


def component_of(name: str) -> Component:
    """The component that the tensor ``name`` belongs to."""
    if name.endswith(_UNUSED_ENDINGS) or name.startswith(_UNUSED_INSIDE):
        return "unused"
    for component, prefixes in COMPONENT_PREFIXES.items():
        if name.startswith(prefixes):
            return component
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
