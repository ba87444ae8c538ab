"""What memory a training takes, before anything is loaded.

Knows: what is on the device while adapters are trained, from the sizes of the tensors alone; which
sizes of training fit a GPU. The weights are counted by :mod:`omni.loading.memory`, the one
estimate. Does not know: how much is free, files, how training is done.

The estimate is held against measured peaks by ``python -m benchmarks.finetune_step.memory``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from typing import Any

import torch

from omni.config import OmniConfig
from omni.errors import gigabytes
from omni.loading.memory import WORKING_BYTES, tensor_bytes
from omni.loading.plans import Component, Plan, component_of
from omni.loading.quantization import Quantization
from omni.model.omni import OmniForCausalLM

Shapes = Mapping[str, tuple[int, ...]]

LARGE_PARAMETERS = 1_000_000_000  # from which layers are computed twice by default
# What nothing needs once media are encoded: the towers, and everything behind the codes.
LEFT_OUT: frozenset[Component] = frozenset(
    {"audio_encoder", "audio_bridge", "audio_decoder", "flow", "unused"}
)
TOWER = "model.visual_model."
BRIDGE = "model.visual_bridge_model."
FLOAT_BYTES = 4
MOMENTS = 2  # that the optimizer keeps of each trained value
SCORED = 256  # places whose scores are in memory at once
# Copies of what is scored: in the model's dtype and in float32, each with its gradient.
SCORE_COPIES = 3.0
# More of them, where the scores of the model without adapters are wanted: in both formats too.
HELD_COPIES = 1.5
# Values that one layer keeps for its gradient, for each position: of the width of the residual
# stream, and of the width inside the feed-forward layer; in the model's dtype.
LAYER_WIDTHS, LAYER_INNER_WIDTHS = 9.0, 5.0
# The same in float32: what the adapters multiply, which is widened for them.
ADAPTED_WIDTHS, ADAPTED_INNER_WIDTHS = 4.0, 1.0
# Values that a layer of the audio head keeps for its gradient, for each place of a frame.
HEAD_WIDTHS = 16.0


@dataclass(frozen=True)
class Training:
    """The size of a training."""

    quantization: Quantization = "none"  # of the frozen layers; 4bit: QLoRA
    rank: int = 16  # of the adapters
    tokens: int = 2048  # positions of the longest row
    batch: int = 1  # rows at a time
    # Of the positions of a batch, how many predict a frame of speech; None: half of them
    frames: int | None = None
    audio_head: bool = False  # the audio head has adapters too
    held: bool = False  # rows are mixed in, and held to the scores of the model without adapters
    bridges: bool = False  # the vision bridge is trained as a whole
    # Whether layers are computed twice instead of kept; None: in a large model
    checkpointing: bool | None = None
    dtype_bytes: int = 2  # of a frozen value that is not quantized
    moment_bytes: int = FLOAT_BYTES  # of a value that the optimizer keeps; 1: in 8 bits

    @property
    def name(self) -> str:
        """As people call it: ``QLoRA r16``."""
        kind = {"none": "LoRA", "4bit": "QLoRA", "8bit": "QLoRA (8 bits)"}[self.quantization]
        return f"{kind} r{self.rank}"

    @property
    def score_copies(self) -> float:
        """Of what is scored, in float32."""
        return SCORE_COPIES + HELD_COPIES * self.held

    @property
    def frames_scored(self) -> int:
        """Frames of a batch that the audio head scores."""
        return self.batch * self.tokens // 2 if self.frames is None else self.frames


@dataclass(frozen=True)
class TrainingNeed:
    """Bytes on the device."""

    loaded: int  # the whole model, while media are encoded
    weights: int  # frozen, while adapters are trained
    adapters: int  # trained values, their gradients, and what the optimizer keeps of them
    kept: int  # between the layers, for the gradient
    working: int  # the largest of what is there for a moment: a layer, scores, the audio head
    trained: int  # values

    @property
    def total(self) -> int:
        """The most at a time."""
        return max(self.loaded + WORKING_BYTES, self.training)

    @property
    def training(self) -> int:
        """The most while a step is made."""
        return self.weights + self.adapters + self.kept + self.working + WORKING_BYTES


def training_need(shapes: Shapes, config: OmniConfig, training: Training) -> TrainingNeed:
    """What a training of a model of these tensors takes.

    Args:
        shapes: of every tensor, by name.
    """
    plan = Plan(training.quantization)
    loaded = weights = 0.0
    for name, shape in shapes.items():
        size = tensor_bytes(name, shape, plan, training.dtype_bytes)
        loaded += size
        if component_of(name) not in LEFT_OUT and not name.startswith(TOWER):
            weights += size
    trained = trained_values(shapes, training)
    kept, working = _activations(shapes, config, training)
    return TrainingNeed(
        loaded=round(loaded),
        weights=round(weights),
        adapters=trained * (2 * FLOAT_BYTES + MOMENTS * training.moment_bytes),
        kept=round(kept),
        working=round(working),
        trained=trained,
    )


def trained_values(shapes: Shapes, training: Training) -> int:
    """Values of the adapters, and of the bridge where it is trained."""
    values = 0
    for name, shape in shapes.items():
        if training.bridges and name.startswith(BRIDGE):
            values += prod(shape)
        elif _is_adapted(name, shape, training):
            values += training.rank * (shape[0] + shape[1])
    return values


def _is_adapted(name: str, shape: tuple[int, ...], training: Training) -> bool:
    if len(shape) != 2 or ".norm" in name:
        return False
    component = component_of(name)
    return component == "layers" or (component == "audio_head" and training.audio_head)


def _activations(shapes: Shapes, config: OmniConfig, training: Training) -> tuple[float, float]:
    """Bytes that are kept between layers, and the most that is there for a moment."""
    positions = training.batch * training.tokens
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    size = training.dtype_bytes
    layer = positions * (
        (LAYER_WIDTHS * width + LAYER_INNER_WIDTHS * inner) * size
        + (ADAPTED_WIDTHS * width + ADAPTED_INNER_WIDTHS * inner) * FLOAT_BYTES
    )
    again = training.checkpointing
    if again is None:
        again = sum(prod(shape) for shape in shapes.values()) >= LARGE_PARAMETERS
    between = positions * width * size * layers
    kept = between if again else layer * layers
    scores = training.score_copies * min(SCORED, positions) * config.vocab_size * FLOAT_BYTES
    head = _head_bytes(config, training)
    return kept + head, max(layer if again else 0.0, scores)


def _head_bytes(config: OmniConfig, training: Training) -> float:
    """What the audio head keeps of the frames of a batch, scores among it."""
    audio = config.audio
    rows = training.frames_scored * audio.num_codebooks
    values = rows * config.hidden_size * HEAD_WIDTHS * audio.audio_head_transformer_layers
    scores = training.frames_scored * sum(audio.codebook_sizes) * training.score_copies
    return values * training.dtype_bytes + scores * FLOAT_BYTES


@cache
def published_sizes() -> tuple[Shapes, OmniConfig]:
    """Tensors and config of the published model, before it is fetched."""
    config = OmniConfig()
    with torch.device("meta"):
        state = OmniForCausalLM(config).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}, config


def sentence(training: Training, need: TrainingNeed, device: str, free: int | None) -> str:
    """The plan, for people.

    Args:
        free: bytes; None: not known.
    """
    rows = "" if training.batch == 1 else f", {training.batch} rows at a time"
    said = (
        f"{training.name}, {training.tokens:,} tokens{rows}: needs about {gigabytes(need.total)} GB"
    )
    return said if free is None else f"{said}, {device} has {gigabytes(free)} GB free."


@dataclass(frozen=True)
class Fit:
    """The longest rows that a training can have in so much memory."""

    memory: int  # bytes of the GPU
    training: Training  # with the most tokens that fit; 0: not even the shortest
    need: TrainingNeed


GPU_BYTES = (24 * 10**9, 48 * 10**9, 80 * 10**9)
USABLE = 0.95  # of a GPU's memory; the rest is the driver's and the libraries'
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384)
TABLE = (
    Training("4bit", 16, moment_bytes=1),
    Training("4bit", 64, moment_bytes=1, audio_head=True),
    Training("none", 16),
    Training("none", 64, audio_head=True),
)


def table(shapes: Shapes, config: OmniConfig) -> Iterator[Fit]:
    """The longest rows of each kind of training, one at a time, by the size of the GPU."""
    for memory in GPU_BYTES:
        for training in TABLE:
            best = replace(training, tokens=0)
            for tokens in LENGTHS:
                tried = replace(training, tokens=tokens)
                if training_need(shapes, config, tried).total <= USABLE * memory:
                    best = tried
            yield Fit(memory, best, training_need(shapes, config, best))


def table_lines(shapes: Shapes, config: OmniConfig) -> Iterator[str]:
    """The table in Markdown."""
    yield "| GPU | training | longest row | needs about |"
    yield "|---|---|---|---|"
    for fit in table(shapes, config):
        training: Any = fit.training
        head = ", audio head" if training.audio_head else ""
        fits = training.tokens > 0
        yield (
            f"| {fit.memory // 10**9} GB | {training.name}{head} "
            f"| {f'{training.tokens:,} tokens' if fits else 'does not fit'} "
            f"| {f'{gigabytes(fit.need.total)} GB' if fits else ''} |"
        )
