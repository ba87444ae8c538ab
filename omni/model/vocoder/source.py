"""The vocoder's excitation: pitch from the mel, then harmonics and noise at the sample rate.

Knows: the pitch predictor, the neural source filter (Wang et al. 2019), and how phases and noise
are drawn so that neither depends on how the sequence is cut.
Does not know: the network that shapes the excitation into speech.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from omni.config import F0PredictorConfig, VocoderConfig
from omni.model.vocoder.layers import Conv1d

F0_CONVOLUTIONS = 5
F0_KERNEL = 3  # mel frames


class F0Predictor(nn.Module):
    """Fundamental frequency of each mel frame, in Hz.

    Phases add pitch up, so rounding that depends on how a sequence is cut would be heard as a
    phase that does: once weight norm is folded, :meth:`precise` is what runs, in float64 (a few
    hundredths of the vocoder's work).
    """

    def __init__(self, config: F0PredictorConfig) -> None:
        super().__init__()
        width = config.cond_channels
        layers: list[nn.Module] = []
        for index in range(F0_CONVOLUTIONS):
            layers += [Conv1d(width if index else config.in_channels, width, F0_KERNEL), nn.ELU()]
        self.condnet = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, config.num_class)
        self._precise: list[F0Predictor] = []  # at most one; a list so that it is no submodule

    def precise(self) -> F0Predictor:
        """This predictor in float64, or itself while weight norm is not folded (training).

        On Apple's GPUs, which have no float64, the float64 one is on the CPU.
        """
        if not cast(Conv1d, self.condnet[0]).folded:
            return self
        if not self._precise:
            weight = self.classifier.weight
            device = "cpu" if weight.device.type == "mps" else weight.device
            with torch.inference_mode(False):
                twin = copy.deepcopy(self).to(device=device, dtype=torch.float64)
            self._precise.append(twin)
        return self._precise[0]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> F0Predictor:
        self._precise.clear()  # the weights move or change type
        return super()._apply(fn, recurse)

    def forward(self, mel: Tensor) -> Tensor:
        """``(batch, mel bins, frames)`` to ``(batch, frames)``, Hz."""
        return self.read(self.condnet(matching(mel, self.classifier.weight)))

    def read(self, hidden: Tensor) -> Tensor:
        """The last layer alone: ``(batch, width, frames)`` to ``(batch, frames)``, Hz."""
        return self.classifier(hidden.transpose(1, 2)).squeeze(-1).abs()


class SourceNoise:
    """Initial phases and noise of one sequence: given, or drawn from a generator.

    Noise is drawn mel frame by mel frame on the generator's device (the CPU without one), so the
    sample at an index is the same however the sequence is cut and whatever device it runs on.

    Args:
        config: sizes.
        batch: how many sequences.
        generator: None draws from torch's global one.
        phase: initial phases ``(batch, harmonics, 1)``, radians; drawn when None.
        noise: ``(batch, harmonics, samples)``, unit variance; drawn when None.
    """

    def __init__(
        self,
        config: VocoderConfig,
        batch: int = 1,
        *,
        generator: torch.Generator | None = None,
        phase: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> None:
        self.batch = batch
        self._shape = (batch, config.nb_harmonics + 1, config.samples_per_frame)
        self._generator = generator
        self._given = noise
        self._drawn: dict[int, Tensor] = {}  # by frame; forgotten once behind
        self._ahead = 0  # frames drawn so far
        self.phase = self._draw_phase() if phase is None else phase

    def frames(self, start: int, end: int) -> Tensor:
        """The noise of some mel frames, ``(batch, harmonics, samples)``.

        Raises:
            ValueError: the noise that was given is used up.
        """
        hop = self._shape[2]
        if self._given is not None:
            if self._given.shape[-1] < end * hop:
                raise ValueError(f"the given noise ends before sample {end * hop}")
            return self._given[..., start * hop : end * hop]
        for frame in range(self._ahead, end):
            self._drawn[frame] = self._draw(torch.randn, self._shape)
        self._ahead = max(self._ahead, end)
        empty = torch.zeros(*self._shape[:2], 0, device=self.phase.device)
        return torch.cat([empty, *(self._drawn[frame] for frame in range(start, end))], dim=-1)

    def forget(self, before: int) -> None:
        """Frames below ``before`` will not be asked for again."""
        for frame in [frame for frame in self._drawn if frame < before]:
            del self._drawn[frame]

    def _draw_phase(self) -> Tensor:
        phase = (2 * self._draw(torch.rand, (*self._shape[:2], 1)) - 1) * math.pi
        phase[:, 0] = 0  # the fundamental is the reference
        return phase

    def _draw(self, kind: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        device = torch.device("cpu") if self._generator is None else self._generator.device
        return kind(shape, generator=self._generator, device=device)


class HarmonicSource(nn.Module):
    """A pitch contour to an excitation signal: sines at its multiples, noise where unvoiced.

    The published code sums phases in float32, which drifts by whole radians within minutes; here
    they are float64 cycles, wrapped at every call, so speech of any length stays in tune.
    """

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.rate = config.sampling_rate
        self.hop = config.samples_per_frame
        self.amplitude = config.nsf_alpha
        self.voiced_noise = config.nsf_sigma
        self.threshold = config.nsf_voiced_threshold
        self.harmonics = config.nb_harmonics + 1
        self.l_linear = nn.Linear(self.harmonics, 1)

    def forward(
        self, f0: Tensor, phase: Tensor, noise: Tensor, cycles: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The excitation of some frames, and where the fundamental stands after them.

        Args:
            f0: ``(batch, frames)``, Hz, held for every sample of its frame.
            phase: initial phases ``(batch, harmonics, 1)``, radians.
            noise: ``(batch, harmonics, frames * samples a frame)``, unit variance.
            cycles: the fundamental's cycles so far, ``(batch, 1)`` float64 in [0, 1); None: 0.

        Returns:
            The signal ``(batch, 1, samples)`` in (-1, 1), and ``cycles`` for the next frames.
        """
        angle, cycles = self._angles(f0, cycles)
        here = self.l_linear.weight
        sine = self.amplitude * torch.sin(matching(angle, here) + phase.to(here))
        voiced = matching(f0 > self.threshold, here).repeat_interleave(self.hop, dim=1)[:, None]
        level = voiced * self.voiced_noise + (1 - voiced) * self.amplitude / 3
        mixed = self.l_linear((sine * voiced + level * noise.to(here)).transpose(1, 2))
        return torch.tanh(mixed).transpose(1, 2), cycles

    def _angles(self, f0: Tensor, cycles: Tensor | None) -> tuple[Tensor, Tensor]:
        """Radians in [0, 2 pi) of every harmonic, ``(batch, harmonics, samples)``, and cycles.

        Both float64, on the pitch's device if that has float64.

        Constant pitch within a frame makes the sum over samples a ramp within it, on top of a sum
        over frames.
        """
        # Apple's GPUs have no float64: there the (few) numbers are worked out on the CPU.
        wide = f0.cpu().double() if f0.device.type == "mps" else f0.double()
        step = wide / self.rate  # cycles a sample
        ends = torch.cumsum(step * self.hop, dim=1)
        if cycles is not None:
            ends = ends + cycles
        starts = ends - step * self.hop
        ramp = torch.arange(1, self.hop + 1, device=wide.device, dtype=wide.dtype)
        fundamental = (starts[..., None] + step[..., None] * ramp).flatten(1)
        multiples = torch.arange(1, self.harmonics + 1, device=wide.device, dtype=wide.dtype)
        wrapped = (fundamental[:, None] * multiples[:, None]) % 1
        last = ends[:, -1:] if ends.shape[1] else cycles
        if last is None:
            last = ends.new_zeros(len(ends), 1)
        return 2 * math.pi * wrapped, last % 1


def matching(x: Tensor, other: Tensor) -> Tensor:
    """``x`` with the dtype and on the device of ``other``; float64 never touches Apple's GPUs."""
    if x.device.type == "mps":
        return x.to(other.device).to(other.dtype)
    return x.to(other.dtype).to(other.device)
