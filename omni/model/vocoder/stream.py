"""The vocoder piece by piece: mel frames in as they come, samples out as soon as they are final.

Knows: the same wiring as :meth:`HiFTNetwork.spectrum`, each layer as a stream of its own.
Does not know: codes, segments, sound devices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from omni.model.streaming import Piece, Stream
from omni.model.vocoder.conv_stream import (
    ConvStream,
    DilatedKernel,
    Kernel,
    LayerStream,
    MirroredConvStream,
    MirrorFirstStream,
    SumStream,
    UpConvStream,
)
from omni.model.vocoder.layers import Conv1d, ResBlock
from omni.model.vocoder.network import POST_SLOPE, HiFTNetwork
from omni.model.vocoder.source import SourceNoise, matching


@dataclass
class VocoderState:
    """``draws``: phases and noise. ``layers``: each as a stream, by its name in the wiring.

    ``cycles``: of the fundamental at the end of the excitation so far, ``(batch, 1)`` in [0, 1);
    None: none is there yet. ``frames``: taken. ``excited``: frames whose excitation is final.
    """

    draws: SourceNoise
    layers: dict[str, LayerStream[Any, Any]] = field(default_factory=dict)
    cycles: Tensor | None = None
    frames: int = 0
    excited: int = 0


class VocoderStream(Stream[Tensor, Tensor, VocoderState]):
    """One sequence of mel frames ``(batch, mel bins, frames)`` on its way to a waveform.

    The samples ``(batch, samples)`` that come out, joined, equal :meth:`HiFTVocoder.forward` of the
    joined frames with the same phases and noise, for every cut, up to the order of additions;
    nothing is computed twice. Samples lag behind the frames by as much as the kernels reach ahead,
    9240 (385 ms) at the published sizes.

    Args:
        vocoder: with weight norm folded or not (folded is faster).
        draws: makes phases and noise for a sequence; called at once, and by each reset.
    """

    def __init__(self, vocoder: HiFTNetwork, draws: Callable[[], SourceNoise]) -> None:
        self._vocoder = vocoder
        self._draws = draws
        super().__init__()

    def new_state(self) -> VocoderState:
        """No frame was taken; phases and noise are new."""
        return VocoderState(self._draws())

    @torch.inference_mode()
    def advance(self, piece: Tensor | None, last: bool) -> Tensor:
        """The samples that are final; at the end, those up to the end of the last frame."""
        state = self.state
        if piece is None or not piece.shape[-1]:
            bias = self._vocoder.conv_pre.bias
            piece = bias.new_zeros(state.draws.batch, self._vocoder.config.in_channels, 0)
            if not last or not state.frames:
                return piece[:, 0]
        state.frames += piece.shape[-1]
        wave = self._run(piece, _Pass(state.layers, last))
        if not last:
            state.draws.forget(state.excited)
        return wave

    def preview(self) -> Tensor:
        """What :meth:`finish` would give now, while the sequence goes on.

        The samples up to the end of the last frame ``(batch, samples)``, after those already
        given; as the network misses what it would see of later frames, they are provisional, the
        more so the nearer the end.
        """
        self._check_open()
        kept = self.state
        layers = {name: layer.fork() for name, layer in kept.layers.items()}
        self.state = replace(kept, layers=layers)
        try:
            return self.advance(None, last=True)
        finally:
            self.state = kept

    def _run(self, mel: Tensor, layers: _Pass) -> Tensor:
        vocoder = self._vocoder
        excitation = layers.mirrored_conv("stft", vocoder.stft, self._excite(mel, layers))
        x = layers.conv("conv_pre", vocoder.conv_pre, mel)
        for stage, up in enumerate(vocoder.ups):
            x = layers.up(f"ups.{stage}", up, F.leaky_relu(x, vocoder.config.lrelu_slope))
            if stage == len(vocoder.ups) - 1:
                x = layers.mirror_first("mirror", x)
            source = layers.conv(f"downs.{stage}", vocoder.source_downs[stage], excitation)
            source = layers.block(f"source.{stage}", vocoder.source_resblocks[stage], source)
            x = layers.add(f"mix.{stage}", x, source)
            blocks = [
                layers.block(f"block.{stage}.{index}", block, x)
                for index, block in enumerate(vocoder.stage_resblocks(stage))
            ]
            x = layers.add(f"mean.{stage}", *blocks) / len(blocks)
        spectrum = layers.conv("conv_post", vocoder.conv_post, F.leaky_relu(x, POST_SLOPE))
        sums = layers.up("istft", vocoder.istft, vocoder.polar(spectrum))
        return vocoder.limit(vocoder.istft.divide(sums))

    def _excite(self, mel: Tensor, layers: _Pass) -> Tensor:
        """The excitation of the frames whose pitch is final, ``(batch, 1, samples)``."""
        state = self.state
        predictor = self._vocoder.f0_predictor.precise()
        hidden = matching(mel, predictor.classifier.weight)
        for index, layer in enumerate(predictor.condnet):
            if isinstance(layer, Conv1d):
                hidden = layers.conv(f"f0.{index}", layer, hidden)
            else:
                hidden = layer(hidden)
        f0 = predictor.read(hidden)
        start, state.excited = state.excited, state.excited + f0.shape[1]
        noise = state.draws.frames(start, state.excited)
        source, state.cycles = self._vocoder.m_source(f0, state.draws.phase, noise, state.cycles)
        return source


class _Pass:
    """One piece on its way through the layers of a network, each a stream under a name of its own.

    Every layer is called once a piece, with pieces of any length, 0 included.
    """

    def __init__(self, layers: dict[str, LayerStream[Any, Any]], last: bool) -> None:
        self._layers = layers
        self._last = last

    def conv(self, name: str, conv: DilatedKernel, x: Tensor) -> Tensor:
        """Through a convolution."""
        return self._through(name, lambda: ConvStream(conv), x)

    def mirrored_conv(self, name: str, conv: DilatedKernel, x: Tensor) -> Tensor:
        """Through a convolution with reflected ends."""
        return self._through(name, lambda: MirroredConvStream(conv), x)

    def up(self, name: str, conv: Kernel, x: Tensor) -> Tensor:
        """Through a transposed convolution."""
        return self._through(name, lambda: UpConvStream(conv), x)

    def mirror_first(self, name: str, x: Tensor) -> Tensor:
        """With one value more at the start."""
        return self._through(name, MirrorFirstStream, x)

    def add(self, name: str, *terms: Tensor) -> Tensor:
        """The sum of parallel sequences."""
        piece: Sequence[Tensor] = terms
        return self._through(name, lambda: SumStream(len(terms)), piece)

    def block(self, name: str, block: ResBlock, x: Tensor) -> Tensor:
        """Through a residual block."""
        steps = zip(block.convs1, block.convs2, block.activations1, block.activations2, strict=True)
        for index, (conv1, conv2, snake1, snake2) in enumerate(steps):
            y = self.conv(f"{name}.conv1.{index}", conv1, snake1(x))
            y = self.conv(f"{name}.conv2.{index}", conv2, snake2(y))
            x = self.add(f"{name}.sum.{index}", x, y)
        return x

    def _through(
        self, name: str, make: Callable[[], LayerStream[Piece, Any]], piece: Piece
    ) -> Tensor:
        layer = self._layers.get(name)
        if layer is None:
            layer = self._layers[name] = make()
        return layer.finish(piece) if self._last else layer.push(piece)
