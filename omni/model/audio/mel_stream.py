"""Codes to mel while more codes come: what has been played stays as it was played.

Knows: when a chunk can be decoded, the way from codes through decoder, prenet and flow, each a
stream of its own.
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

from omni.model.audio.audio_decoder import AudioDecoderStream, NormStatistics
from omni.model.audio.audio_tokenizer import AudioTokenizer
from omni.model.audio.flow import FlowOptions, FlowStream, FrameNoise, block_end
from omni.model.audio.prenet import PrenetStream
from omni.model.streaming import Stream


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


@dataclass
class MelState:
    """The streams of the three parts, and the codes ``(n, codebooks)`` that wait for their chunk.

    ``chunk``: which chunk is next.
    """

    decoder: AudioDecoderStream
    prenet: PrenetStream
    flow: FlowStream
    codes: Tensor
    chunk: int = 0


class MelStream(Stream[Tensor, Tensor, MelState]):
    """Codes ``(n, codebooks)`` to the mel ``(frames, mel bins)`` of one segment.

    How near it is to the whole, see above. :meth:`next_segment` makes ready for a segment that
    follows; :meth:`reset` for one that follows nothing.

    Args:
        tokenizer: gives the modules; several streams may share it.
        generator: draws the noise, 100 frames at a time; None: the CPU's default generator.
        noise: of a segment's frames ``(frames, mel bins)``, in place of drawn noise.
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
        self.generator = generator
        self.noise = noise
        self.statistics = statistics
        self._spreading = tokenizer.audio_decoder.dconv1
        super().__init__()

    def new_state(self) -> MelState:
        """No code was taken; noise goes on to be drawn from where the generator is."""
        options, tokenizer = self.options, self.tokenizer
        flow = tokenizer.audio_flow_matching_decoder
        weight = self._spreading.conv.weight
        books = len(tokenizer.codebook_sizes)
        return MelState(
            AudioDecoderStream(tokenizer.audio_decoder, self.statistics),
            PrenetStream(flow.prenet),
            FlowStream(
                flow,
                lambda: FrameNoise(flow.mel_bins, self.generator, self.noise),
                options.flow,
                ahead=self._spreading.output_length(options.lookahead),
                context_frames=options.context_frames,
                redo_block=options.redo_block,
            ),
            torch.empty(0, books, dtype=torch.int64, device=weight.device),
        )

    def next_segment(self) -> None:
        """For another segment, whose norm starts from the statistics of this one."""
        prior = self.state.decoder.prior(self.options.prior_frames)
        self.reset()
        self.state.decoder.state.statistics = prior

    @torch.inference_mode(False)  # or memory made in a caller's inference mode stays bound to it
    @torch.no_grad()
    def advance(self, piece: Tensor | None, last: bool) -> Tensor:
        """The mel that became final; at the end, the rest of the segment's.

        Raises:
            ValueError: a code outside its codebook; a segment longer than the positions allow.
        """
        state, mels = self.state, []
        if piece is not None:
            self._take(piece)
        while (missing := self._missing()) <= 0:
            mels.append(state.flow.push(self._mean_mel(len(state.codes) + missing)))
            state.chunk += 1
        if last:
            mels.append(state.flow.finish(self._mean_mel(len(state.codes))))
        if mels:
            return torch.cat(mels)
        return self._spreading.conv.weight.new_empty(0, state.flow.flow.mel_bins)

    def _take(self, codes: Tensor) -> None:
        state, most = self.state, self.tokenizer.audio_decoder.max_codes
        codes = self.tokenizer.check_codes(codes)
        if state.decoder.state.codes + len(state.codes) + len(codes) > most:
            raise ValueError(f"a segment holds {most} codes at most")
        state.codes = torch.cat((state.codes, codes))

    def _missing(self) -> int:
        """How many codes the next chunk waits for; not above 0: so many are there beyond it."""
        state, stride = self.state, self._spreading.stride
        given, chunks = state.flow.state.given, self.options.chunks
        size = chunks[min(state.chunk, len(chunks) - 1)] * stride
        edge, end = given + size, block_end(given)
        if end - edge < size / 2:
            edge = end
        needed = -(-edge // stride) + self.options.lookahead
        return needed - state.decoder.state.codes - len(state.codes)

    def _mean_mel(self, count: int) -> Tensor:
        """Carry the next ``count`` codes up to the mean mel."""
        state = self.state
        if not count:
            return state.flow.state.mu[:, :0]
        codes, state.codes = state.codes[:count], state.codes[count:]
        embeddings = self.tokenizer.audio_bridge_model.decode(codes)[None]
        return state.prenet.push(state.decoder.push(embeddings))
