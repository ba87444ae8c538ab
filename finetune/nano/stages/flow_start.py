"""Fresh weights of the flow's estimator that let the noise through from the first step.

Knows: a way through the network that leaves what comes in as it is: the noisy mel, and the mean mel
in cosines, centred and of unit size. Does not know: mels, losses. All of it is learnt further.

The velocity is the mel less the noise. The noise is a sixth of the mel in size, and every norm on
the way divides by both: with random weights the estimator finds the mel, and the noise stays in
what it gives for thousands of steps.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from finetune.nano.stages.pitch import MEL_MEAN, MEL_SPREAD
from omni.model.audio.flow_unet import (
    CausalConv,
    FlowUNet,
    PointwiseConv,
    ResBlock,
    Stage,
    TransformerBlock,
)

RANDOM_SHARE = 0.3  # of the usual size of what is added to that way
NOISE_GAIN = 1.5  # of the noisy mel in the first convolution
OUTPUT_GAIN = 2.0


@torch.no_grad()
def start_estimator(estimator: FlowUNet) -> None:
    """Change a fresh estimator in place.

    Raises:
        ValueError: it is narrower than a mel.
    """
    width, bins = estimator.final_proj.in_channels, estimator.final_proj.out_channels
    if width < bins:
        raise ValueError(f"{width} channels: the noise in {bins} bins does not go through")
    down = cast(Stage, estimator.down_blocks[0])
    up = cast(Stage, estimator.up_blocks[0])
    _enter(cast(ResBlock, down[0]), width, bins)
    _pass(cast(ResBlock, up[0]).res_conv, width)
    _pass(cast(CausalConv, up[2]))
    _pass(cast(CausalConv, estimator.final_block.block["0"]))
    for stage in (down, up, *estimator.mid_blocks):
        for block in cast(Stage, stage)[1].children():
            assert isinstance(block, TransformerBlock)
            for last in (block.attn1.to_out[0], block.ff.net[2]):
                cast(nn.Linear, last).weight.mul_(RANDOM_SHARE)
    estimator.final_proj.weight.mul_(OUTPUT_GAIN)
    cast(Tensor, estimator.final_proj.bias).fill_(MEL_MEAN)


def _enter(block: ResBlock, width: int, bins: int) -> None:
    """Around the block: the noisy mel, and as many cosines of the mean mel as there is room for."""
    first = cast(CausalConv, block.block1.block["0"])
    first.weight[:, :bins].mul_(NOISE_GAIN)
    first.weight[:, bins:].div_(MEL_SPREAD)
    _add(first.bias, -MEL_MEAN * first.weight[:, bins:].sum((1, 2)))
    around = block.res_conv
    around.weight.zero_()
    around.weight[:bins, :bins, 0] = torch.eye(bins)
    around.weight[bins:, bins:, 0] = _cosines(width - bins, bins) / MEL_SPREAD
    _add(around.bias, -MEL_MEAN * around.weight[:, bins:].sum((1, 2)))


def _pass(conv: CausalConv | PointwiseConv, skipped: int = 0) -> None:
    """Let through this frame's channels from ``skipped`` on."""
    conv.weight.mul_(RANDOM_SHARE)
    width = conv.out_channels
    conv.weight[:, skipped : skipped + width, -1] += torch.eye(width)


def _cosines(count: int, bins: int) -> Tensor:
    """The first rows of the orthonormal DCT-II, the very first halved: ``(count, bins)``."""
    places = math.pi / bins * (torch.arange(bins) + 0.5)
    rows = (torch.arange(count)[:, None] * places).cos() * math.sqrt(2 / bins)
    rows[:1] *= 0.5
    return rows


def _add(bias: Tensor | None, value: Tensor) -> None:
    assert bias is not None
    bias.add_(value)
