"""How fast a loaded model is on a CPU, and how large a picture may be to be read in half a minute.

Knows: a few measured layers and steps of the model that is there, and what follows for a picture.
Does not know: files, settings, what is done with it.

A picture of n patches costs b n + a n^2 seconds: the tower's weights are multiplied once a patch
and the language model's once for each row that patches are merged to, and in the tower's attention
each patch looks at all others. Both are measured, for they depend on the CPU, on how many bits the
weights have, and on who else is at work.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from omni.config import OmniConfig
from omni.events import FRAMES_PER_SECOND
from omni.model.layers.rotary import patch_angles, patch_positions, rotation
from omni.model.omni import OmniForCausalLM

PICTURE_S = 18.0  # that a picture may take: with the rest of a turn below half a minute
CLIP_FRAMES = 8  # frames of a clip that may take as long as a picture
SIDES = (16, 32)  # patches down and across of the pictures that are timed
ROWS = 128  # of the language model that are timed
REPEATS = 3
LONG_S = 0.25  # what takes longer is as good as timed by one run
REST = 1.1  # of the time in the layers: patches, bridge, embeddings


@dataclass(frozen=True)
class Pace:
    """What was measured, in seconds."""

    patch_s: float  # for each patch of a picture, from pixels to the language model's memory
    pair_s: float  # and for each pair of its patches
    text_s: float  # of a text token
    speech_s: float  # that a second of speech takes


@torch.inference_mode()
def measure(model: OmniForCausalLM, waiting: Callable[[], None] = lambda: None) -> Pace:
    """Time a few layers and steps; some seconds for the published model on two cores.

    ``waiting`` is called between them; what it raises ends this.
    """
    config = model.config
    blocks = []
    for side in SIDES:
        waiting()
        blocks.append(_block_seconds(model, side) / side**2)
    fewer, more = (side**2 for side in SIDES)
    pair = max(0.0, (blocks[1] - blocks[0]) / (more - fewer))
    patch = max(0.0, blocks[0] - pair * fewer)
    waiting()
    row = _layer_seconds(model) / ROWS * config.num_hidden_layers
    waiting()
    text_s, frame_s = _step_seconds(model)
    waiting()
    return Pace(
        patch_s=REST * (config.visual.depth * patch + row / config.visual.merged_patches),
        pair_s=REST * config.visual.depth * pair,
        text_s=text_s,
        speech_s=FRAMES_PER_SECOND * frame_s + _sound_seconds(model),
    )


def _block_seconds(model: OmniForCausalLM, side: int) -> float:
    """Seconds of a block of the vision tower on a square picture."""
    tower = model.model.visual_model
    block = tower.blocks[0]
    norm = block.norm1.weight
    rows = torch.ones(side**2, len(norm), dtype=norm.dtype)
    positions = patch_positions([(side, side)], tower.merge, rows.device)
    rotary = rotation(patch_angles(positions, tower.head_dim))
    return _usual_s(lambda: block(rows, rotary, [(side**2, 1)]))


def _layer_seconds(model: OmniForCausalLM) -> float:
    """Seconds of a layer of the language model on :data:`ROWS` rows."""
    layer = model.model.layers[0]
    norm = layer.input_layernorm.weight
    rows = torch.ones(1, ROWS, len(norm), dtype=norm.dtype)
    rotary = rotation(model.model.angles(torch.arange(ROWS)[None])[:, None])
    return _usual_s(lambda: layer(rows, rotary))


def _step_seconds(model: OmniForCausalLM) -> tuple[float, float]:
    """Seconds of a text token, and of a frame of speech."""
    past = model.new_key_values()
    row = torch.ones(1, 1, model.config.hidden_size, dtype=model.model.norm.weight.dtype)

    def step() -> Tensor:
        return model.hidden(row, past_key_values=past)[:, 0]

    def text() -> None:
        model.lm_head(step())

    def frame() -> None:
        model.audio_head.generate(step(), lambda _, scores: scores.argmax(-1))

    return _usual_s(text), _usual_s(frame)


def _sound_seconds(model: OmniForCausalLM) -> float:
    """Seconds of work from the codes of a second of speech to its mel."""
    frames = math.ceil(FRAMES_PER_SECOND)
    codes = torch.zeros(frames, model.config.audio.num_codebooks, dtype=torch.int64)
    start = time.perf_counter()
    model.audio_tokenizer.decode(codes)
    return time.perf_counter() - start


def _usual_s(work: Callable[[], object]) -> float:
    """Seconds of ``work``, the middle of some runs after one to warm up."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
        if times[0] > LONG_S:
            break
    return sorted(times)[len(times) // 2]


def picture_seconds(config: OmniConfig, pace: Pace, pixels: int) -> float:
    """Seconds in which a picture of so many pixels is read, about."""
    patches = pixels / config.visual.patch_size**2
    return pace.patch_s * patches + pace.pair_s * patches**2


def most_pixels(config: OmniConfig, pace: Pace, seconds: float | None = None) -> int:
    """The size of a picture that is read in so many seconds, about; at least the smallest.

    ``seconds``: None: :data:`PICTURE_S`.
    """
    seconds = PICTURE_S if seconds is None else seconds
    root = math.sqrt(pace.patch_s**2 + 4 * pace.pair_s * seconds)
    patches = 2 * seconds / (pace.patch_s + root)
    return max(config.visual.min_pixels, int(patches * config.visual.patch_size**2))


def within(config: OmniConfig, pixels: int) -> OmniConfig:
    """``config`` whose pictures are reduced to ``pixels``, and frames of clips accordingly.

    What the checkpoint allows stays the limit.
    """
    limited = copy.copy(config)
    frame = max(config.video.min_pixels, pixels // CLIP_FRAMES)
    visual, video = config.visual.max_pixels, config.video.max_pixels
    limited.visual_config = config.visual_config | {"max_pixels": min(visual, pixels)}
    limited.video_config = config.video_config | {"max_pixels": min(video, frame)}
    return limited
