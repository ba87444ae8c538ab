"""The audio decoder: embeddings of codes to causal hidden frames at 50 Hz.

Knows: the spreading of a code over its frames, a norm over a whole segment and its statistics,
positions, causal layers, and how all of it goes on while more codes come.
Does not know: codes, mels, the flow decoder.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from omni.config import AudioConfig, PostNetConfig
from omni.model.layers.whisper import CausalAttend, WhisperLayer, add_positions, sinusoids
from omni.model.streaming import Stream


@dataclass(frozen=True)
class NormStatistics:
    """Mean and variance over all channels and frames of a segment, and how many values they sum.

    ``mean`` and ``variance`` are float32 ``(batch, 1, 1)``.
    """

    count: float
    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, x: Tensor) -> NormStatistics:
        """The statistics of ``x (batch, frames, channels)``."""
        variance, mean = torch.var_mean(x.float(), dim=(1, 2), keepdim=True, correction=0)
        return cls(float(x.shape[1] * x.shape[2]), mean, variance)

    def merge(self, other: NormStatistics) -> NormStatistics:
        """Those of both sets of values together (Chan, Golub, LeVeque 1983)."""
        count = self.count + other.count
        share = other.count / count
        step = other.mean - self.mean
        variance = self.variance * (1 - share) + other.variance * share
        variance = variance + step.square() * (share * (1 - share))
        return NormStatistics(count, self.mean + step * share, variance)

    def weighing(self, count: float) -> NormStatistics:
        """The same mean and variance, as of at most ``count`` values."""
        return NormStatistics(min(self.count, count), self.mean, self.variance)


class SpreadingConv(nn.Module):
    """``dconv1``: a transposed convolution whose frames do not overlap, then one norm group.

    Code i gives frames ``stride * i`` to ``stride * i + kernel - 1``; the frames up to the next
    code hold the bias alone, and there are none of these after the last code. Thus L codes give
    ``stride * L - gap`` frames (4 L - 1), and every frame is known as soon as its code is.
    """

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        if kernel > stride:
            raise ValueError(f"a kernel of {kernel} overlaps at a stride of {stride}")
        self.kernel, self.stride = kernel, stride
        self.gap = stride - kernel  # frames between two codes
        self.conv = nn.ConvTranspose1d(channels, out_channels, kernel, stride=stride)
        self.norm = nn.GroupNorm(1, out_channels)

    def output_length(self, codes: int) -> int:
        """Frames of ``codes``."""
        return max(self.stride * codes - self.gap, 0)

    def spread(self, x: Tensor) -> Tensor:
        """``(batch, codes, channels)`` to ``(batch, stride * codes, channels)``.

        Each code's frames come after those that part it from the code before: a segment's first
        code has none of these, see :attr:`gap`.
        """
        weight, bias = self.conv.weight, self.conv.bias  # (in, out, kernel), (out,)
        assert bias is not None
        frames = (x @ weight.flatten(1)).unflatten(-1, weight.shape[1:]).transpose(-1, -2) + bias
        gap = bias.expand(*x.shape[:2], self.gap, -1)
        return torch.cat((gap, frames), dim=2).flatten(1, 2)

    def normalize(self, x: Tensor, statistics: NormStatistics) -> Tensor:
        """``x (batch, frames, channels)`` normed by the statistics of its segment, in float32."""
        scale = torch.rsqrt(statistics.variance + self.norm.eps)
        x_wide = (x.float() - statistics.mean) * scale
        return (x_wide * self.norm.weight.float() + self.norm.bias.float()).to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, codes, channels)`` to ``(batch, output_length, channels)``.

        The statistics include zero rows that pad ``x``, as in the published code: a shorter item
        of a batch comes out differently than alone.
        """
        x = self.spread(x)[:, self.gap :]
        return self.normalize(x, NormStatistics.of(x))


class PostNet(nn.Module):
    """The tensors of the coarse mel's post-net: in the checkpoint, read by nothing."""

    def __init__(self, config: PostNetConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = config.num_mel_bins
        for channels in config.channels[:-1]:
            layers += [
                nn.Conv1d(width, channels, 5, padding=2),
                nn.GroupNorm(1, channels),
                nn.Identity(),
            ]
            width = channels
        layers.append(nn.Conv1d(width, config.num_mel_bins, 1))
        self.layers = nn.Sequential(*layers)


class AudioDecoder(nn.Module):
    """``audio_tokenizer.audio_decoder`` of the checkpoint, up to ``dconv2`` (not computed)."""

    positional_embedding: Tensor

    def __init__(self, config: AudioConfig, post_net: PostNetConfig) -> None:
        super().__init__()
        width, kernel = config.d_model, config.decoder_kernel_size
        self.dconv1 = SpreadingConv(width, width, kernel, config.avg_pooler)
        # persistent: the checkpoint's own rounding of the table counts
        self.register_buffer("positional_embedding", sinusoids(config.max_mel_frames, width))
        self.layers = nn.ModuleList(
            WhisperLayer(width, config.decoder_attention_heads, config.decoder_ffn_dim)
            for _ in range(config.decoder_layers)
        )
        self.layer_norm = nn.LayerNorm(width)
        self.dconv2 = nn.ModuleDict(
            {
                "conv": nn.ConvTranspose1d(width, post_net.num_mel_bins, kernel),
                "norm": nn.GroupNorm(1, post_net.num_mel_bins),
            }
        )
        self.post_net = PostNet(post_net)

    @property
    def max_codes(self) -> int:
        """The longest segment that the positions allow (750)."""
        frames = self.positional_embedding.shape[0]
        return (frames - self.dconv1.kernel) // self.dconv1.stride + 1

    def forward(self, embeddings: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden frames of whole segments.

        Args:
            embeddings: ``(batch, codes, width)``, zero beyond each length.
            lengths: codes of each segment, ``(batch,)``.

        Returns:
            ``(batch, frames, width)``, zero beyond each length, and the lengths in frames.
        """
        x = self.dconv1(embeddings)
        lengths = (self.dconv1.stride * lengths - self.dconv1.gap).clamp_min(0)
        valid = (torch.arange(x.shape[1], device=x.device) < lengths[:, None])[..., None]
        return self.layers_from(x * valid, 0) * valid, lengths

    def layers_from(
        self, x: Tensor, start: int, attends: list[CausalAttend] | None = None
    ) -> Tensor:
        """The causal layers over frames ``start``, ``start + 1``, ... ``(batch, frames, width)``.

        Args:
            attends: the memory of each layer, holding the ``start`` frames before.
        """
        x = add_positions(x, self.positional_embedding[start : start + x.shape[1]])
        for i, layer in enumerate(self.layers):
            x = layer(x, attends[i] if attends else CausalAttend())
        return self.layer_norm(x)


@dataclass
class AudioDecoderState:
    """``statistics``: of the frames so far, and of what was known before; None: of nothing.

    ``codes``: taken. ``attends``: the frames that each layer remembers.
    """

    statistics: NormStatistics | None = None
    codes: int = 0
    attends: list[CausalAttend] = field(default_factory=list)


class AudioDecoderStream(Stream[Tensor, Tensor, AudioDecoderState]):
    """Embeddings ``(1, codes, width)`` to hidden frames ``(1, frames, width)`` of one segment.

    Every frame is final as soon as its code is there. Each piece is normed by the statistics up to
    its end, so the result equals :meth:`AudioDecoder.forward` for every cut where the statistics
    are given, and otherwise only if the segment comes in one piece.

    Args:
        decoder: gives the modules.
        statistics: of the whole segment, if they are known; None: those so far.
    """

    def __init__(self, decoder: AudioDecoder, statistics: NormStatistics | None = None) -> None:
        self.decoder = decoder
        self.given = statistics
        super().__init__()

    def new_state(self) -> AudioDecoderState:
        """No code was taken."""
        attends = [CausalAttend(keep=True) for _ in self.decoder.layers]
        return AudioDecoderState(attends=attends)

    def prior(self, frames: int) -> NormStatistics | None:
        """The statistics that another segment may start from, as of at most so many frames."""
        statistics = self.state.statistics
        if statistics is None or not frames:
            return None
        return statistics.weighing(frames * self.decoder.dconv1.conv.out_channels)

    @torch.inference_mode(False)
    @torch.no_grad()
    def advance(self, piece: Tensor | None, last: bool) -> Tensor:
        """The frames of the codes that came."""
        state, spreading = self.state, self.decoder.dconv1
        if piece is None or not piece.shape[1]:
            return spreading.conv.weight.new_empty(1, 0, spreading.conv.out_channels)
        x = spreading.spread(piece)
        start = spreading.output_length(state.codes)
        if start == 0:
            x = x[:, spreading.gap :]
        state.codes += piece.shape[1]
        seen = NormStatistics.of(x)
        state.statistics = seen if state.statistics is None else state.statistics.merge(seen)
        x = spreading.normalize(x, self.given or state.statistics)
        return self.decoder.layers_from(x, start, state.attends)
