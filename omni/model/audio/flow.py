"""The flow matching decoder: hidden frames to a log-mel by an Euler solver with guidance.

Knows: times of the solver, guidance, noise as a function of the frame's index, and how frames
follow frames that are done.
Does not know: codes, the vocoder.
Source: Lipman et al., Flow Matching (arXiv:2210.02747); classifier-free guidance as in CosyVoice
(arXiv:2407.05407).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from omni.config import FlowConfig
from omni.model.audio.flow_unet import BLOCK_FRAMES, FlowUNet, UNetMemory
from omni.model.audio.prenet import Prenet
from omni.model.streaming import Stream


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


@dataclass
class FlowState:
    """``noise``: of the segment. ``memories``: of the frames that stay, one a step of the solver.

    ``mu``: ``(1, frames, mel bins)`` of the frames that do not stay yet. ``given``: frames of mel
    that were given.
    """

    noise: FrameNoise
    memories: list[UNetMemory]
    mu: Tensor
    given: int = 0


class FlowStream(Stream[Tensor, Tensor, FlowState]):
    """Mean mel ``(1, frames, mel bins)`` to the mel ``(frames, mel bins)`` of one segment.

    A frame sees its block of 100 frames to its end. What is given before a block is there misses
    the rest of it: the result equals :meth:`FlowMatchingDecoder.solve` for cuts that give each
    block, and ``ahead`` frames, at once, and is near it for others.

    Args:
        flow: gives the modules.
        noise: makes the noise of a segment; called at once, and by each reset.
        options: of the solver.
        ahead: frames at the end of what has come that are not given yet, but seen by those before.
        context_frames: frames that can be looked back at; None: the segment.
        redo_block: solve a block again from its first frame at each piece (what was given stays).
    """

    def __init__(
        self,
        flow: FlowMatchingDecoder,
        noise: Callable[[], FrameNoise],
        options: FlowOptions | None = None,
        *,
        ahead: int = 0,
        context_frames: int | None = None,
        redo_block: bool = False,
    ) -> None:
        self.flow = flow
        self.noise = noise
        self.options = options or FlowOptions()
        self.ahead = ahead
        self.context_frames = context_frames
        self.redo_block = redo_block
        super().__init__()

    def new_state(self) -> FlowState:
        """No frame was taken; the noise is new."""
        steps = self.options.steps or self.flow.steps
        return FlowState(
            self.noise(),
            [UNetMemory(self.context_frames) for _ in range(steps)],
            self.flow.prenet.out_proj.weight.new_empty(1, 0, self.flow.mel_bins),
        )

    @torch.inference_mode(False)  # or memory made in a caller's inference mode stays bound to it
    @torch.no_grad()
    def advance(self, piece: Tensor | None, last: bool) -> Tensor:
        """The frames up to ``ahead`` before the end of what has come; at the end, all."""
        state = self.state
        if piece is not None:
            state.mu = torch.cat((state.mu, piece), dim=1)
        come = state.memories[0].frames + state.mu.shape[1]
        edge = come if last else come - self.ahead
        mels = [state.mu.new_empty(0, self.flow.mel_bins)]
        while state.given < edge:
            mels.append(self._solve_to(min(block_end(state.given), edge)))
        return torch.cat(mels)

    def _solve_to(self, edge: int) -> Tensor:
        """The frames up to ``edge``, which is in the block of the first frame not given."""
        state = self.state
        kept, block = state.memories[0].frames, block_end(state.given)
        end = min(kept + state.mu.shape[1], block)
        keep = edge if edge == block or not self.redo_block else kept
        for memory in state.memories:
            memory.commit = keep - kept
        noise = state.noise.frames(kept, end)[None]
        mu = state.mu[:, : end - kept]
        mel = self.flow.solve(mu, noise, None, self.options, state.memories)
        state.mu = state.mu[:, keep - kept :]
        fresh = mel[0, state.given - kept : edge - kept]
        state.given = edge
        return fresh


def block_end(frame: int) -> int:
    """The end of the block of frames that ``frame`` is in."""
    return (frame // BLOCK_FRAMES + 1) * BLOCK_FRAMES
