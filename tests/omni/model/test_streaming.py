"""One contract for all streams: push in any split, finish, reset, and nothing after the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from omni.model.audio.audio_decoder import AudioDecoderStream, NormStatistics
from omni.model.audio.flow import FlowStream, FrameNoise
from omni.model.audio.mel_stream import MelStream, MelStreamOptions
from omni.model.audio.prenet import PrenetStream
from omni.model.streaming import Stream, StreamFinished
from omni.model.vocoder.conv_stream import (
    ConvStream,
    MirroredConvStream,
    MirrorFirstStream,
    SumStream,
    UpConvStream,
)
from omni.model.vocoder.layers import Conv1d, Stft, UpConv1d
from omni.speech.decoder import SegmentSound, SpeechDecoder, SpeechOptions
from omni.speech.joining import Joiner
from tests.support.golden_model import golden_model
from tests.support.golden_vocoder import golden_vocoder
from tests.support.tiny_audio import random_codes, tiny_tokenizer

SEED = 5
ANY = ((), (0,), (1,), (1, 2), (4, 4, 9), (7, 11), tuple(range(1, 12)))


@dataclass(frozen=True)
class Case:
    """A kind of stream, a sequence for it, and what the whole sequence gives.

    ``make`` is given the random generator that the stream draws from. ``cut`` takes the part of a
    sequence from one place to another; ``splits`` are the places where a cut changes nothing, as
    the class promises. ``whole`` None: what it gives in one piece.
    """

    make: Callable[[torch.Generator], Stream[Any, Any, Any]]
    sequence: Callable[[], Any]
    length: int
    axis: int
    cut: Callable[[Any, int, int], Any]
    splits: Sequence[tuple[int, ...]] = ANY
    whole: Callable[[], Tensor] | None = None
    tolerance: float = 1e-5

    def pieces(self, edges: tuple[int, ...], sequence: Any = None) -> list[Any]:
        """The sequence, cut at ``edges``."""
        sequence = self.sequence() if sequence is None else sequence
        return [self.cut(sequence, a, b) for a, b in pairwise((0, *edges, self.length))]

    def joined(self, results: Sequence[Any]) -> Tensor:
        """Results, one behind the other."""
        return torch.cat([torch.as_tensor(x) for x in results if x.shape[self.axis]], self.axis)


def seeded(seed: int = SEED) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def last_axis(x: Tensor, start: int, end: int) -> Tensor:
    return x[..., start:end]


def first_axis(x: Any, start: int, end: int) -> Any:
    return x[start:end]


def second_axis(x: Tensor, start: int, end: int) -> Tensor:
    return x[:, start:end]


def parallel(x: tuple[Tensor, Tensor], start: int, end: int) -> tuple[Tensor, Tensor]:
    return x[0][..., start:end], x[1][..., start:end]


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(1))


@cache
def conv() -> Conv1d:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Conv1d(3, 4, 5, dilation=2).requires_grad_(False)


@cache
def up() -> UpConv1d:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return UpConv1d(3, 4, 7, 3).requires_grad_(False)


def embeddings(count: int) -> Tensor:
    return tiny_tokenizer().audio_bridge_model.decode(random_codes(count))[None].detach()


@torch.no_grad()
def segment_statistics(count: int) -> NormStatistics:
    spreading = tiny_tokenizer().audio_decoder.dconv1
    return NormStatistics.of(spreading.spread(embeddings(count))[:, spreading.gap :])


@torch.no_grad()
def decoded(count: int) -> Tensor:
    return tiny_tokenizer().audio_decoder(embeddings(count), torch.tensor([count]))[0]


@torch.no_grad()
def whole_flow(frames: int) -> Tensor:
    flow = tiny_tokenizer().audio_flow_matching_decoder
    drawn = FrameNoise(flow.mel_bins, seeded()).frames(0, frames)[None]
    return flow.solve(noise(1, frames, flow.mel_bins), drawn)[0]


def flow_stream(generator: torch.Generator) -> FlowStream:
    flow = tiny_tokenizer().audio_flow_matching_decoder
    return FlowStream(flow, lambda: FrameNoise(flow.mel_bins, generator), ahead=3)


def vocoder_mel(frames: int) -> Tensor:
    return noise(1, golden_vocoder().config.in_channels, frames) * 2 - 4


@torch.inference_mode()
def vocoded(frames: int) -> Tensor:
    return golden_vocoder()(vocoder_mel(frames), generator=seeded())


def golden_codes(count: int) -> Tensor:
    sizes = golden_model().audio_tokenizer.codebook_sizes
    columns = [torch.randint(0, size, (count,), generator=seeded(1)) for size in sizes]
    return torch.stack(columns, dim=1)


def segment_sound(generator: torch.Generator) -> SegmentSound:
    return SegmentSound(golden_vocoder(), generator, SpeechOptions(early="never"))


def speech_decoder(_: torch.Generator) -> SpeechDecoder:
    return SpeechDecoder(golden_model().audio_tokenizer, golden_vocoder(), seed=SEED)


EXACT_MEL = MelStreamOptions(chunks=(25,), context_frames=None)
CASES = {
    "conv": Case(
        lambda _: ConvStream(conv()),
        lambda: noise(2, 3, 17),
        17,
        -1,
        last_axis,
        whole=lambda: conv()(noise(2, 3, 17)),
    ),
    "mirrored conv": Case(
        lambda _: MirroredConvStream(Stft(8, 2)),
        lambda: noise(2, 1, 16),
        16,
        -1,
        last_axis,
        whole=lambda: Stft(8, 2)(noise(2, 1, 16)),
    ),
    "up conv": Case(
        lambda _: UpConvStream(up()),
        lambda: noise(2, 3, 17),
        17,
        -1,
        last_axis,
        whole=lambda: up()(noise(2, 3, 17)),
    ),
    "mirror first": Case(
        lambda _: MirrorFirstStream(),
        lambda: noise(2, 3, 17),
        17,
        -1,
        last_axis,
        whole=lambda: F.pad(noise(2, 3, 17), (1, 0), mode="reflect"),
    ),
    "sum": Case(
        lambda _: SumStream(2),
        lambda: (noise(2, 3, 17), -2 * noise(2, 3, 17)),
        17,
        -1,
        parallel,
        whole=lambda: -noise(2, 3, 17),
    ),
    "audio decoder": Case(
        lambda _: AudioDecoderStream(tiny_tokenizer().audio_decoder, segment_statistics(20)),
        lambda: embeddings(20),
        20,
        1,
        second_axis,
        whole=lambda: decoded(20),
    ),
    "prenet": Case(
        lambda _: PrenetStream(tiny_tokenizer().audio_flow_matching_decoder.prenet),
        lambda: decoded(5),
        19,
        1,
        second_axis,
        whole=lambda: tiny_tokenizer().audio_flow_matching_decoder.prenet(decoded(5)).detach(),
    ),
    "flow": Case(
        flow_stream,
        lambda: noise(1, 230, 10),
        230,
        0,
        second_axis,
        splits=((), (103,), (203,), (103, 203), (1, 2, 103, 203)),
        whole=lambda: whole_flow(230),
    ),
    "mel": Case(
        lambda generator: MelStream(
            tiny_tokenizer(), EXACT_MEL, generator, statistics=segment_statistics(60)
        ),
        lambda: random_codes(60),
        60,
        0,
        first_axis,
        splits=(*ANY, (24, 25, 26, 51)),
        whole=lambda: tiny_tokenizer().decode(random_codes(60), generator=seeded())[0][0],
    ),
    "vocoder": Case(
        lambda generator: golden_vocoder().stream(generator=generator),
        lambda: vocoder_mel(40),
        40,
        -1,
        last_axis,
        whole=lambda: vocoded(40),
    ),
    "segment sound": Case(
        segment_sound,
        lambda: vocoder_mel(40)[0].T,
        40,
        0,
        first_axis,
        whole=lambda: vocoded(40)[0],
    ),
    "joiner": Case(
        lambda _: Joiner(6),
        lambda: noise(40).numpy(),
        40,
        0,
        first_axis,
        whole=lambda: noise(40),
        tolerance=0,
    ),
    "speech decoder": Case(
        speech_decoder,
        lambda: golden_codes(20),
        20,
        0,
        first_axis,
        tolerance=0,
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def run(case: Case, stream: Stream[Any, Any, Any], pieces: Sequence[Any]) -> Tensor:
    return case.joined([*(stream.push(piece) for piece in pieces), stream.finish()])


def worst(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


def test_every_split_gives_the_whole(case: Case) -> None:
    if case.whole is None:
        want = run(case, case.make(seeded()), case.pieces(()))
    else:
        want = torch.as_tensor(case.whole())
    for edges in case.splits:
        got = run(case, case.make(seeded()), case.pieces(edges))
        assert worst(got, want) <= case.tolerance, edges


def test_the_last_piece_may_come_with_the_end(case: Case) -> None:
    edges = case.splits[-1]
    *pieces, last = case.pieces(edges)
    want = run(case, case.make(seeded()), [*pieces, last])
    stream = case.make(seeded())
    got = case.joined([*(stream.push(piece) for piece in pieces), stream.finish(last)])
    assert worst(got, want) <= case.tolerance


def test_what_was_given_stays_whatever_follows(case: Case) -> None:
    """The results of the first pieces do not depend on the later ones."""
    first, *_ = case.pieces(case.splits[-1])
    alone = case.make(seeded()).push(first)
    stream = case.make(seeded())
    given = stream.push(first)
    run(case, stream, case.pieces(()))
    assert np.array_equal(np.asarray(given), np.asarray(alone))


@pytest.mark.parametrize("ended", [False, True])
def test_a_reset_stream_is_as_new(case: Case, ended: bool) -> None:
    edges = case.splits[-1]
    generator = seeded()
    stream = case.make(generator)
    want = run(case, case.make(seeded()), case.pieces(edges))
    first, *_ = case.pieces(edges)
    stream.push(first)
    if ended:
        stream.finish()
    state = stream.state
    generator.manual_seed(SEED)
    stream.reset()
    assert stream.state is not state and not stream.finished
    assert worst(run(case, stream, case.pieces(edges)), want) == 0


def test_nothing_follows_the_end(case: Case) -> None:
    stream = case.make(seeded())
    pieces = case.pieces(case.splits[-1])
    run(case, stream, pieces)
    assert stream.finished
    with pytest.raises(StreamFinished):
        stream.push(pieces[0])
    with pytest.raises(StreamFinished):
        stream.finish()


def test_an_end_without_a_beginning_is_empty(case: Case) -> None:
    assert case.make(seeded()).finish().shape[case.axis] == 0


def subclasses(kind: type) -> set[type]:
    return {kind} | {c for child in kind.__subclasses__() for c in subclasses(child)}


def test_every_stream_of_the_library_is_held_to_the_contract() -> None:
    held = {type(case.make(seeded())) for case in CASES.values()}
    abstract = {kind for kind in subclasses(Stream) if getattr(kind, "__abstractmethods__", None)}
    ours = {kind for kind in subclasses(Stream) if kind.__module__.startswith("omni.")}
    assert ours - abstract == held
