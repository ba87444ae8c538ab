"""The vocoder's building blocks: convolutions, Snake, residual blocks, short Fourier transforms.

Knows: names and shapes of the published vocoder file (weight norm as ``weight_g``, ``weight_v``),
and how each block runs on a whole sequence. Every convolution also gives its kernel and geometry
away, which is what :mod:`omni.model.vocoder.stream` runs it piecewise with.
Does not know: how the blocks are wired, mel frames, chunks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SNAKE_EPSILON = 1e-9  # keeps 1 / alpha finite
INIT_STD = 0.01  # of a fresh kernel, as usual for HiFi-GAN
M = TypeVar("M", bound=nn.Module)


class Layers(nn.ModuleList, Generic[M]):
    """A list of modules of one type."""

    def __iter__(self) -> Iterator[M]:
        return super().__iter__()  # type: ignore[return-value]

    def __getitem__(self, index: int) -> M:  # type: ignore[override]
        return super().__getitem__(index)  # type: ignore[return-value]


class NormedKernel(nn.Module):
    """A convolution's kernel, factored by weight norm into length and direction.

    ``weight = g * v / |v|``, the length taken over everything but dimension 0 (Salimans and
    Kingma 2016). Training wants the factors, inference the product: :meth:`fold` leaves that.
    """

    weight: Tensor
    weight_g: Tensor
    weight_v: Tensor
    bias: Tensor

    def __init__(self, shape: tuple[int, int, int], bias_channels: int, *, norm: bool) -> None:
        super().__init__()
        fresh = torch.randn(shape) * INIT_STD
        self.bias = nn.Parameter(torch.zeros(bias_channels))
        if norm:
            self.weight_g = nn.Parameter(_length(fresh))
            self.weight_v = nn.Parameter(fresh)
        else:
            self.weight = nn.Parameter(fresh)

    @property
    def folded(self) -> bool:
        """Whether the kernel is one plain tensor."""
        return "weight" in self._parameters

    def kernel(self) -> Tensor:
        """The kernel to convolve with."""
        if self.folded:
            return self.weight
        return self.weight_v * (self.weight_g / _length(self.weight_v))

    @torch.no_grad()
    def fold(self) -> None:
        """Replace the two factors by their product."""
        if not self.folded:
            weight = self.kernel()
            del self.weight_g, self.weight_v
            self.weight = nn.Parameter(weight)


class Conv1d(NormedKernel):
    """A one-dimensional convolution; by default weight-normed and keeping the length."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: int | None = None,
        norm: bool = True,
    ) -> None:
        super().__init__((out_channels, in_channels, kernel_size), out_channels, norm=norm)
        self.kernel_size = kernel_size
        self.stride = stride
        self.dilation = dilation
        self.padding = dilation * (kernel_size - 1) // 2 if padding is None else padding

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in, n)`` to ``(batch, out, (n + 2 padding - span) // stride + 1)``."""
        return F.conv1d(x, self.kernel(), self.bias, self.stride, self.padding, self.dilation)


class UpConv1d(NormedKernel):
    """A transposed convolution that multiplies the length by ``stride``."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int) -> None:
        super().__init__((in_channels, out_channels, kernel_size), out_channels, norm=True)
        self.kernel_size = kernel_size
        self.stride = stride
        self.padding = (kernel_size - stride) // 2

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in, n)`` to ``(batch, out, n * stride)``."""
        return F.conv_transpose1d(x, self.kernel(), self.bias, self.stride, self.padding)


class Snake(nn.Module):
    """``x + sin(alpha x)^2 / alpha``, one alpha a channel (Ziyin et al. 2020)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, n)``, the shape stays."""
        alpha = self.alpha[:, None]
        return torch.addcmul(x, torch.sin(x * alpha).square(), 1 / (alpha + SNAKE_EPSILON))


class ResBlock(nn.Module):
    """Residual steps ``x + conv2(snake(conv1(snake(x))))``, ``conv1`` dilated, one a dilation."""

    def __init__(self, channels: int, kernel_size: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = Layers[Conv1d](
            Conv1d(channels, channels, kernel_size, dilation=dilation) for dilation in dilations
        )
        self.convs2 = Layers[Conv1d](Conv1d(channels, channels, kernel_size) for _ in dilations)
        self.activations1 = Layers[Snake](Snake(channels) for _ in dilations)
        self.activations2 = Layers[Snake](Snake(channels) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, channels, n)``, the shape stays."""
        for conv1, conv2, snake1, snake2 in zip(
            self.convs1, self.convs2, self.activations1, self.activations2, strict=True
        ):
            x = x + conv2(snake2(conv1(snake1(x))))
        return x


class Stft(nn.Module):
    """The short Fourier transform of the source, as a fixed convolution.

    Periodic Hann window, centred frames (the signal is reflected at both ends, unlike the zeros
    of the other convolutions). A convolution instead of ``torch.stft`` because it runs on every
    device without complex numbers, and piecewise like its neighbours.
    """

    kernel_tensor: Tensor

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        self.kernel_size = n_fft
        self.stride = hop
        self.dilation = 1
        self.padding = n_fft // 2
        self.bias = None
        cosine, sine, window = _fourier(n_fft)
        kernel = torch.cat([cosine * window, -sine * window])
        self.register_buffer("kernel_tensor", kernel[:, None].float(), persistent=False)

    def kernel(self) -> Tensor:
        """``(n_fft + 2, 1, n_fft)``: real parts, then imaginary parts."""
        return self.kernel_tensor

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, 1, samples)`` to ``(batch, n_fft + 2, samples // hop + 1)``."""
        padded = F.pad(x, (self.padding, self.padding), mode="reflect")
        return F.conv1d(padded, self.kernel(), None, self.stride)


class Istft(nn.Module):
    """The inverse: windowed overlap-add, divided by the overlapped squares of the window.

    One transposed convolution gives both: channel 0 is the sum of the frames, channel 1 (from an
    input channel of ones) what the squared windows sum to there.
    """

    kernel_tensor: Tensor

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        self.kernel_size = n_fft
        self.stride = hop
        self.padding = n_fft // 2
        self.bias = None
        cosine, sine, window = _fourier(n_fft)
        twice = torch.full((n_fft // 2 + 1, 1), 2.0, dtype=torch.float64)
        twice[0] = twice[-1] = 1  # only the bins between have a mirror image
        frames = torch.cat([cosine * twice, -sine * twice]) * window / n_fft
        kernel = torch.zeros(n_fft + 3, 2, n_fft, dtype=torch.float64)
        kernel[:-1, 0] = frames
        kernel[-1, 1] = window.square()
        self.register_buffer("kernel_tensor", kernel.float(), persistent=False)

    def kernel(self) -> Tensor:
        """``(n_fft + 3, 2, n_fft)``."""
        return self.kernel_tensor

    def frames(self, magnitude: Tensor, phase: Tensor) -> Tensor:
        """Polar ``(batch, bins, n)`` twice to the convolution's input ``(batch, n_fft + 3, n)``."""
        ones = torch.ones_like(magnitude[:, :1])
        return torch.cat([magnitude * phase.cos(), magnitude * phase.sin(), ones], dim=1)

    def forward(self, frames: Tensor) -> Tensor:
        """``(batch, n_fft + 3, n)`` to samples ``(batch, (n - 1) * hop)``."""
        sums = F.conv_transpose1d(frames, self.kernel(), None, self.stride, self.padding)
        return self.divide(sums)

    @staticmethod
    def divide(sums: Tensor) -> Tensor:
        """Channel 0 over channel 1: ``(batch, 2, samples)`` to ``(batch, samples)``."""
        return sums[:, 0] / sums[:, 1]


def _length(v: Tensor) -> Tensor:
    return torch.linalg.vector_norm(v, dim=(1, 2), keepdim=True)


def _fourier(n_fft: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cosines and sines ``(bins, n_fft)`` and the periodic Hann window ``(n_fft,)``, float64."""
    n = torch.arange(n_fft, dtype=torch.float64)
    angle = 2 * math.pi * torch.arange(n_fft // 2 + 1, dtype=torch.float64)[:, None] * n / n_fft
    window = torch.hann_window(n_fft, periodic=True, dtype=torch.float64)
    return angle.cos(), angle.sin(), window
