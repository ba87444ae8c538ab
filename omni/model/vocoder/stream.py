"""The vocoder piece by piece: mel frames in as they come, samples out as soon as they are final.

Knows: the same wiring as :meth:`HiFTVocoder.spectrum`, run through :class:`ConvStream`; how far
ahead the network looks.
Does not know: codes, segments, sound devices.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from omni.model.vocoder.conv_stream import ConvStream, DilatedKernel, Kernel
from omni.model.vocoder.hift import POST_SLOPE, HiFTVocoder
from omni.model.vocoder.layers import Conv1d, ResBlock
from omni.model.vocoder.source import SourceNoise, matching


class VocoderStream:
    """One sequence of mel frames on its way to a waveform.

    The samples that come out, joined, equal :meth:`HiFTVocoder.forward` of the joined frames with
    the same phases and noise, up to the order of additions; nothing is computed twice. Samples
    lag :func:`lookahead_samples` behind the frames.

    Args:
        vocoder: with weight norm folded or not (folded is faster).
        draws: phases and noise of this sequence.
    """

    def __init__(self, vocoder: HiFTVocoder, draws: SourceNoise) -> None:
        self._vocoder = vocoder
        self._draws = draws
        self._layers = ConvStream()
        self._cycles: Tensor | None = None  # of the fundamental, in [0, 1)
        self._frames = 0  # taken
        self._excited = 0  # frames whose excitation is final

    @torch.inference_mode()
    def push(self, mel: Tensor) -> Tensor:
        """The next frames ``(batch, mel bins, frames)``; gives the samples now final.

        Returns:
            ``(batch, samples)``, possibly none.

        Raises:
            RuntimeError: the sequence was finished.
        """
        self._check_open()
        if not mel.shape[-1]:
            return mel.new_zeros(len(mel), 0)
        self._frames += mel.shape[-1]
        wave = self._run(mel)
        self._draws.forget(self._excited)
        return wave

    @torch.inference_mode()
    def finish(self) -> Tensor:
        """No frame follows: gives the remaining samples ``(batch, samples)``.

        Raises:
            RuntimeError: the sequence was finished.
        """
        self._check_open()
        bias = self._vocoder.conv_pre.bias
        none = bias.new_zeros(self._draws.batch, self._vocoder.config.in_channels, 0)
        self._layers.last = True
        return self._run(none) if self._frames else none[:, 0]

    def preview(self) -> Tensor:
        """What :meth:`finish` would give now, while the sequence goes on.

        The samples up to the end of the last frame ``(batch, samples)``, after those already
        given; as the network misses what it would see of later frames, they are provisional, the
        more so the nearer the end.
        """
        twin = copy.copy(self)
        twin._layers = self._layers.fork()
        return twin.finish()

    def _check_open(self) -> None:
        if self._layers.last:
            raise RuntimeError("this sequence is finished: start a new stream")

    def _run(self, mel: Tensor) -> Tensor:
        vocoder, layers = self._vocoder, self._layers
        excitation = layers.mirrored_conv("stft", vocoder.stft, self._excite(mel))
        x = layers.conv("conv_pre", vocoder.conv_pre, mel)
        for stage, up in enumerate(vocoder.ups):
            x = layers.up(f"ups.{stage}", up, F.leaky_relu(x, vocoder.config.lrelu_slope))
            if stage == len(vocoder.ups) - 1:
                x = layers.mirror_first("mirror", x)
            source = layers.conv(f"downs.{stage}", vocoder.source_downs[stage], excitation)
            source = self._block(f"source.{stage}", vocoder.source_resblocks[stage], source)
            x = layers.add(f"mix.{stage}", x, source)
            blocks = [
                self._block(f"block.{stage}.{index}", block, x)
                for index, block in enumerate(vocoder.stage_resblocks(stage))
            ]
            x = layers.add(f"mean.{stage}", *blocks) / len(blocks)
        spectrum = layers.conv("conv_post", vocoder.conv_post, F.leaky_relu(x, POST_SLOPE))
        sums = layers.up("istft", vocoder.istft, vocoder.polar(spectrum))
        return vocoder.limit(vocoder.istft.divide(sums))

    def _excite(self, mel: Tensor) -> Tensor:
        """The excitation of the frames whose pitch is final, ``(batch, 1, samples)``."""
        predictor = self._vocoder.f0_predictor.precise()
        hidden = matching(mel, predictor.classifier.weight)
        for index, layer in enumerate(predictor.condnet):
            if isinstance(layer, Conv1d):
                hidden = self._layers.conv(f"f0.{index}", layer, hidden)
            else:
                hidden = layer(hidden)
        f0 = predictor.read(hidden)
        start, self._excited = self._excited, self._excited + f0.shape[1]
        noise = self._draws.frames(start, self._excited)
        source, self._cycles = self._vocoder.m_source(f0, self._draws.phase, noise, self._cycles)
        return source

    def _block(self, name: str, block: ResBlock, x: Tensor) -> Tensor:
        layers = self._layers
        steps = zip(block.convs1, block.convs2, block.activations1, block.activations2, strict=True)
        for index, (conv1, conv2, snake1, snake2) in enumerate(steps):
            y = layers.conv(f"{name}.conv1.{index}", conv1, snake1(x))
            y = layers.conv(f"{name}.conv2.{index}", conv2, snake2(y))
            x = layers.add(f"{name}.sum.{index}", x, y)
        return x


def released_samples(vocoder: HiFTVocoder, frames: int) -> int:
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


def lookahead_samples(vocoder: HiFTVocoder) -> int:
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
