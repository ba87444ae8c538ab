"""How far the vocoder's stream lags behind its frames, worked out from the kernels alone."""

from __future__ import annotations

from omni.model.vocoder.conv_stream import DilatedKernel, Kernel
from omni.model.vocoder.layers import Conv1d, ResBlock
from omni.model.vocoder.network import HiFTNetwork


def released_samples(vocoder: HiFTNetwork, frames: int) -> int:
    """Samples that a stream has given once ``frames`` frames were pushed (and not finished)."""
    pitched = frames
    for layer in vocoder.f0_predictor.condnet:
        if isinstance(layer, Conv1d):
            pitched = _final(layer, pitched)
    excitation = _final(vocoder.stft, pitched * vocoder.samples_per_frame)
    x = _final(vocoder.conv_pre, frames)
    for stage, up in enumerate(vocoder.ups):
        x = _final_up(up, x)
        if stage == len(vocoder.ups) - 1:
            x += x > 1
        source = _final(vocoder.source_downs[stage], excitation)
        source = _final_block(vocoder.source_resblocks[stage], source)
        x = min(x, source)
        x = min(_final_block(block, x) for block in vocoder.stage_resblocks(stage))
    return _final_up(vocoder.istft, _final(vocoder.conv_post, x))


def lookahead_samples(vocoder: HiFTNetwork) -> int:
    """How many samples the output lags behind the frames given: what the kernels reach ahead.

    Nearly all of it is the residual blocks of the first, slowest stage and the pitch predictor.
    """
    many = 1_000  # frames, enough that no layer is still filling up
    return many * vocoder.samples_per_frame - released_samples(vocoder, many)


def _final(conv: DilatedKernel, inputs: int) -> int:
    """Outputs of a convolution that ``inputs`` inputs settle."""
    span = conv.dilation * (conv.kernel_size - 1) + 1
    return max(0, (inputs + conv.padding - span) // conv.stride + 1)


def _final_up(conv: Kernel, inputs: int) -> int:
    return max(0, inputs * conv.stride - conv.padding)


def _final_block(block: ResBlock, inputs: int) -> int:
    for conv in (*block.convs1, *block.convs2):
        inputs = _final(conv, inputs)
    return inputs
