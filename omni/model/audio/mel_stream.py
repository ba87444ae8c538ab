"""Codes to mel while more codes come: what has been played stays as it was played.

Knows: when a chunk can be decoded, the memory of every causal part, the noise of each frame, the
norm's statistics so far.
Does not know: audio samples, the vocoder, who makes the codes.

What streaming can and cannot equal. L codes give 4 L - 1 frames: code i gives the frames 4 i to
4 i + 2, and the frame 4 i - 1 before them holds a bias alone. Audio decoder and prenet are causal,
so their caches are exact, but the norm of ``dconv1`` takes its statistics over the whole segment: a
stream knows those of the codes so far. The flow's frames see their block of 100 frames (25 codes)
to its end: a stream that speaks before the block is full leaves out what is to come.
So with ``chunks=(25,)``, frozen statistics and no limit of the context, streaming equals the whole
(to rounding, for every split). The other settings are some way off; the relative L2 distance of the
mel, on the golden checkpoint (random weights: orders of magnitude, not a quality), is 0.017 for the
running statistics alone, 0.08 for chunks of 6 codes (the default), 0.065 with ``redo_block``, 0.06
for chunks of 12 codes or a context of 100 frames, 0.02 for one of 200.
How the codes are cut into pushes never matters: chunks are cut by count, and the noise of a frame
is a function of its index.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from omni.model.audio.audio_decoder import NormStatistics
from omni.model.audio.audio_tokenizer import AudioTokenizer
from omni.model.audio.flow import FlowOptions, FrameNoise
from omni.model.audio.flow_unet import BLOCK_FRAMES, UNetMemory
from omni.model.layers.whisper import CausalAttend


@dataclass(frozen=True)
class MelStreamOptions:
    """How a segment is cut, and what is remembered of it."""

    chunks: tuple[int, ...] = (6,)
    """Codes of each chunk in turn; the last size repeats. A chunk never crosses the end of a block
    of 100 frames; a rest of less than half a chunk joins the chunk before it."""
    lookahead: int = 1
    """Codes that must follow a chunk before it is decoded. At least 1: a chunk ends with the frame
    before the next code, which is there only if another code comes."""
    redo_block: bool = False
    """Decode a block again from its first frame at each of its chunks (what was given stays): some
    nearer to the whole, for 2.3 times the flow's work with chunks of 6 codes. False: every frame is
    decoded once, and the next ones follow it as it was given."""
    context_frames: int | None = 600
    """Frames that the flow can look back at; None: the segment. At the published size a frame
    takes 2.3 MB in 16 bits."""
    prior_frames: int = 100
    """How many frames of the last segment's statistics count at the start of the next."""
    flow: FlowOptions = field(default_factory=FlowOptions)


class MelStream:
    """One stream of segments; :meth:`finish` ends a segment and makes ready for the next.

    Args:
        tokenizer: gives the modules; several streams may share it.
        generator: draws the noise, 100 frames at a time; None: the CPU's default generator.
        noise: of the first segment's frames ``(frames, mel bins)``, in place of drawn noise.
        statistics: the norm's statistics, if they are known (frozen); None: those so far.
    """

    def __init__(
        self,
        tokenizer: AudioTokenizer,
        options: MelStreamOptions | None = None,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
        statistics: NormStatistics | None = None,
    ) -> None:
        self.options = options or MelStreamOptions()
        if self.options.lookahead < 1 or min(self.options.chunks, default=0) < 1:
            raise ValueError("chunks and lookahead are at least one code")
        self.tokenizer = tokenizer
        self.decoder = tokenizer.audio_decoder
        self.flow = tokenizer.audio_flow_matching_decoder
        self.generator = generator
        self.frozen = statistics
        self.reset(noise=noise)

    def reset(self, prior: NormStatistics | None = None, noise: Tensor | None = None) -> None:
        """Drop the segment under way.

        Args:
            prior: statistics to start from (those of earlier speech); None: nothing.
            noise: as in the constructor.
        """
        bins, steps = self.flow.mel_bins, self.options.flow.steps or self.flow.steps
        weight = self.decoder.dconv1.conv.weight
        self.statistics = prior
        self._noise = FrameNoise(bins, self.generator, noise)
        books = len(self.tokenizer.codebook_sizes)
        self._codes = torch.empty(0, books, dtype=torch.int64, device=weight.device)  # waiting
        self._decoded = 0  # codes
        self._emitted = 0  # frames
        self._chunk = 0
        self._mu = weight.new_empty(1, 0, bins)  # frames from the first that is not kept
        self._decoder_past = [CausalAttend(keep=True) for _ in self.decoder.layers]
        layers = self.flow.prenet.transformer_layers
        self._prenet_past = [CausalAttend(keep=True) for _ in layers]
        self._memories = [UNetMemory(self.options.context_frames) for _ in range(steps)]

    @torch.inference_mode(False)  # or memory made in a caller's inference mode stays bound to it
    @torch.no_grad()
    def push(self, codes: Tensor) -> Tensor:
        """Take ``codes (n, codebooks)``; the mel ``(frames, mel bins)`` that became final.

        Raises:
            ValueError: a code outside its codebook; a segment longer than the positions allow.
        """
        codes = self.tokenizer.check_codes(codes)
        if self._decoded + len(self._codes) + len(codes) > self.decoder.max_codes:
            raise ValueError(f"a segment holds {self.decoder.max_codes} codes at most")
        self._codes = torch.cat((self._codes, codes))
        mels: list[Tensor] = []
        while True:
            edge = self._next_edge()
            needed = -(-edge // self.decoder.dconv1.stride) + self.options.lookahead
            if self._decoded + len(self._codes) < needed:
                return self._joined(mels)
            self._decode_codes(needed - self._decoded)
            mels.append(self._decode_mel(edge))
            self._chunk += 1

    @torch.inference_mode(False)
    @torch.no_grad()
    def finish(self) -> Tensor:
        """The rest of the segment's mel ``(frames, mel bins)``; nothing if all was given.

        The statistics of this segment become the prior of the next one.
        """
        mels: list[Tensor] = []
        self._decode_codes(len(self._codes))
        total = self.decoder.dconv1.output_length(self._decoded)
        while self._emitted < total:
            mels.append(self._decode_mel(min(self._block_end(), total)))
        statistics = self.statistics
        channels = self.decoder.dconv1.conv.out_channels
        if statistics is not None:
            statistics = statistics.weighing(self.options.prior_frames * channels)
        result = self._joined(mels)
        self.reset(prior=statistics if self.options.prior_frames else None)
        return result

    def _block_end(self) -> int:
        return (self._emitted // BLOCK_FRAMES + 1) * BLOCK_FRAMES

    def _next_edge(self) -> int:
        """The frame that the next chunk ends before."""
        chunks = self.options.chunks
        size = chunks[min(self._chunk, len(chunks) - 1)] * self.decoder.dconv1.stride
        edge, end = self._emitted + size, self._block_end()
        return end if end - edge < size / 2 else edge

    def _decode_codes(self, count: int) -> None:
        """Carry the next ``count`` codes up to the mean mel."""
        if count <= 0:
            return
        codes, self._codes = self._codes[:count], self._codes[count:]
        spreading = self.decoder.dconv1
        x = spreading.spread(self.tokenizer.audio_bridge_model.decode(codes)[None])
        start = spreading.output_length(self._decoded)
        if start == 0:
            x = x[:, spreading.gap :]
        self._decoded += count
        seen = NormStatistics.of(x)
        self.statistics = seen if self.statistics is None else self.statistics.merge(seen)
        x = spreading.normalize(x, self.frozen or self.statistics)
        hidden = self.decoder.layers_from(x, start, self._decoder_past)
        self._mu = torch.cat((self._mu, self.flow.prenet(hidden, self._prenet_past)), dim=1)

    def _decode_mel(self, edge: int) -> Tensor:
        """The frames up to ``edge``, which is in the block of the first frame not emitted."""
        kept = self._memories[0].frames
        known = kept + self._mu.shape[1]
        end = min(known, self._block_end())
        keep = edge if edge == self._block_end() or not self.options.redo_block else kept
        for memory in self._memories:
            memory.commit = keep - kept
        mu = self._mu[:, : end - kept]
        noise = self._noise.frames(kept, end)[None]
        mel = self.flow.solve(mu, noise, None, self.options.flow, self._memories)
        self._mu = self._mu[:, keep - kept :]
        fresh = mel[0, self._emitted - kept : edge - kept]
        self._emitted = edge
        return fresh

    def _joined(self, mels: list[Tensor]) -> Tensor:
        return torch.cat(mels) if mels else self._mu.new_empty(0, self.flow.mel_bins)
