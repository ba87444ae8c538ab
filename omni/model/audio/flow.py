"""The flow matching decoder: hidden frames to a log-mel by an Euler solver with guidance.

Knows: times of the solver, guidance, noise as a function of the frame's index.
Does not know: codes, the vocoder.
Source: Lipman et al., Flow Matching (arXiv:2210.02747); classifier-free guidance as in CosyVoice
(arXiv:2407.05407).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from omni.config import FlowConfig
from omni.model.audio.flow_unet import BLOCK_FRAMES, FlowUNet, UNetMemory
from omni.model.audio.prenet import Prenet


@dataclass(frozen=True)
class FlowOptions:
    """How the flow is solved; None means the checkpoint's own value."""

    steps: int | None = None  # Euler steps
    guidance: float | None = None  # r of (1 + r) v(mu) - r v(0); 0 runs one branch only
    one_batch: bool = True  # both branches in one call; False: two calls, the published way


class FlowMatchingDecoder(nn.Module):
    """``audio_tokenizer.audio_flow_matching_decoder`` of the checkpoint."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        if config.cfm_params.t_scheduler != "cosine" or config.cfm_params.solver != "euler":
            raise ValueError("the flow is solved by Euler steps on a cosine schedule")
        self.steps = config.diffusion_steps
        self.guidance = config.cfm_params.inference_cfg_rate
        self.mel_bins = config.in_channels
        self.prenet = Prenet(config)
        self.conditional_decoder = FlowUNet(config)

    def forward(
        self,
        hidden: Tensor,
        lengths: Tensor | None,
        noise: Tensor,
        options: FlowOptions | None = None,
    ) -> Tensor:
        """The mel ``(batch, frames, mel bins)`` of ``hidden (batch, frames, width)``.

        Beyond an item's length the noise comes back.

        Args:
            lengths: valid frames of each item ``(batch,)``; None: all.
            noise: ``(batch, frames, mel bins)``, standard normal.
        """
        mu = self.prenet(hidden)
        if lengths is not None:
            valid = torch.arange(mu.shape[1], device=mu.device) < lengths[:, None]
            mu = mu * valid[..., None]
        return self.solve(mu, noise, lengths, options)

    def solve(
        self,
        mu: Tensor,
        noise: Tensor,
        lengths: Tensor | None = None,
        options: FlowOptions | None = None,
        memories: list[UNetMemory] | None = None,
    ) -> Tensor:
        """Carry noise along the flow to the mel that ``mu`` asks for.

        The mel under way stays float32; only the estimator runs in the dtype of its weights.

        Args:
            mu: ``(batch, frames, mel bins)``.
            noise: the same shape.
            memories: of the frames before, one a step.
        """
        options = options or FlowOptions()
        times = self.times(options.steps, mu.device)
        x = noise.to(mu.device, torch.float32)
        for k in range(len(times) - 1):
            memory = memories[k] if memories else None
            velocity = self._velocity(x.to(mu.dtype), mu, times[k], lengths, options, memory)
            x = x + (times[k + 1] - times[k]) * velocity
        return x.to(mu.dtype)

    def times(self, steps: int | None = None, device: torch.device | None = None) -> Tensor:
        """``1 - cos(pi/2 k/N)`` for k = 0..N, float32 ``(N + 1,)``."""
        steps = steps or self.steps
        span = torch.linspace(0, 1, steps + 1, device=device, dtype=torch.float32)
        return 1 - torch.cos(span * (0.5 * math.pi))

    def _velocity(
        self,
        x: Tensor,
        mu: Tensor,
        t: Tensor,
        lengths: Tensor | None,
        options: FlowOptions,
        memory: UNetMemory | None,
    ) -> Tensor:
        rate = self.guidance if options.guidance is None else options.guidance
        run = self.conditional_decoder
        if rate == 0:
            return run(x, mu, t, lengths, memory).float()
        if options.one_batch:
            both = None if lengths is None else lengths.repeat(2)
            x2, mu2 = torch.cat((x, x)), torch.cat((mu, torch.zeros_like(mu)))
            guided, free = run(x2, mu2, t, both, memory).float().chunk(2)
        elif memory is not None:
            raise ValueError("two calls cannot share one memory: use one batch")
        else:
            guided = run(x, mu, t, lengths).float()
            free = run(x, torch.zeros_like(mu), t, lengths).float()
        return (1 + rate) * guided - rate * free


class FrameNoise:
    """Standard normal noise that is a function of the frame's index, however it is asked for.

    It is drawn a block of frames at a time and in order, so the seed of the generator fixes the
    noise of every frame of a segment.

    Args:
        generator: None: the CPU's default generator.
        given: the noise ``(frames, mel bins)`` itself; nothing is drawn.
    """

    def __init__(
        self,
        mel_bins: int,
        generator: torch.Generator | None = None,
        given: Tensor | None = None,
    ) -> None:
        self.mel_bins = mel_bins
        self.generator = generator
        self.fixed = given is not None
        self._drawn = torch.empty(0, mel_bins) if given is None else given

    def frames(self, start: int, end: int) -> Tensor:
        """Noise float32 ``(end - start, mel bins)`` on the generator's device.

        Raises:
            ValueError: the given noise is too short.
        """
        if self.fixed and len(self._drawn) < end:
            raise ValueError(f"noise for {len(self._drawn)} frames: {end} are needed")
        device = self.generator.device if self.generator is not None else torch.device("cpu")
        shape = (BLOCK_FRAMES, self.mel_bins)
        while len(self._drawn) < end:
            block = torch.randn(shape, generator=self.generator, device=device)
            self._drawn = torch.cat((self._drawn.to(device), block))
        return self._drawn[start:end]
