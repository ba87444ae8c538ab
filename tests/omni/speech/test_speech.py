"""Codes to sound: durations, gapless segments, sound let out early, seeds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from omni.model.audio.mel_stream import MelStreamOptions
from omni.speech.decoder import VOCODER_SEED, SegmentSound, SpeechDecoder, SpeechOptions
from omni.speech.joining import Samples, silence
from tests.support.golden_model import golden_model
from tests.support.golden_vocoder import golden_vocoder
from tests.support.lookahead import lookahead_samples

SAMPLES = 480  # of a mel frame
FADE = SpeechOptions().fade_samples
LIMIT = 0.99
WAVE_ATOL = 1e-3  # golden README.json, wave from mel
STREAM_ATOL = 1e-5


def decoder(seed: int = 3, **options: Any) -> SpeechDecoder:
    tokenizer = golden_model().audio_tokenizer
    return SpeechDecoder(tokenizer, golden_vocoder(), SpeechOptions(**options), seed)


def codes(frames: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    sizes = golden_model().audio_tokenizer.codebook_sizes
    columns = [torch.randint(0, size, (frames,), generator=generator) for size in sizes]
    return torch.stack(columns, dim=1).int()


def spoken(speech: SpeechDecoder, segments: Sequence[Sequence[Tensor]]) -> Samples:
    """The sound of a turn; each segment is given as the pushes it comes in."""
    out = [silence()]
    for pushes in segments:
        out += [speech.push(push) for push in pushes]
        out.append(speech.end_segment())
    return np.concatenate([*out, speech.finish()])


@torch.inference_mode()
def offline(whole: Tensor, seed: int, dtype: torch.dtype = torch.float32) -> Samples:
    """A segment's sound at once, with the noise of a turn's first segment."""
    flow, vocoder = (torch.Generator().manual_seed(s) for s in (seed, seed ^ VOCODER_SEED))
    mel, _ = golden_model(dtype).audio_tokenizer.decode(whole, generator=flow)
    return golden_vocoder()(mel[0].float().T[None], generator=vocoder)[0].numpy()


def expected_samples(lengths: Sequence[int]) -> int:
    """L codes: 4 L - 1 mel frames of 480 samples; every join between spoken segments a fade."""
    lengths = [length for length in lengths if length]
    return sum((4 * n - 1) * SAMPLES for n in lengths) - FADE * max(0, len(lengths) - 1)


@pytest.mark.parametrize("lengths", [[1], [2], [6], [7], [25], [31], [1, 1, 1], [8, 3, 30], []])
def test_duration(lengths: list[int]) -> None:
    sound = spoken(decoder(), [[codes(n)] for n in lengths])
    assert len(sound) == expected_samples(lengths)
    assert sound.dtype == np.float32
    assert np.abs(sound).max(initial=0) <= LIMIT


def test_the_published_join_is_longer() -> None:
    sound = spoken(decoder(join="insert"), [[codes(8)], [codes(3)]])
    assert len(sound) == (31 + 11) * SAMPLES + FADE


@pytest.mark.parametrize("early", ["never", "first", "always"])
def test_pushes_do_not_matter(early: str) -> None:
    turn = [codes(27, 1), codes(3, 2)]
    whole = spoken(decoder(early=early), [[segment] for segment in turn])
    single = spoken(decoder(early=early), [segment.unbind() for segment in turn])
    np.testing.assert_array_equal(whole, single)
    rng = random.Random(0)
    cut = [segment.split(random_sizes(len(segment), rng)) for segment in turn]
    np.testing.assert_array_equal(spoken(decoder(early=early), cut), whole)


def random_sizes(total: int, rng: random.Random) -> list[int]:
    sizes: list[int] = []
    while sum(sizes) < total:
        sizes.append(min(rng.randint(1, 12), total - sum(sizes)))
    return sizes


def test_the_seed_is_the_sound() -> None:
    turn = [[codes(10)]]
    sound = spoken(decoder(seed=1), turn)
    np.testing.assert_array_equal(spoken(decoder(seed=1), turn), sound)
    assert np.abs(spoken(decoder(seed=2), turn) - sound).max() > 1e-3
    fresh = SpeechDecoder(golden_model().audio_tokenizer, golden_vocoder())
    again = SpeechDecoder(golden_model().audio_tokenizer, golden_vocoder(), seed=fresh.seed)
    np.testing.assert_array_equal(spoken(again, turn), spoken(fresh, turn))


def test_a_reset_decoder_starts_over() -> None:
    speech, turn = decoder(), [[codes(9)], [codes(4)]]
    first = spoken(speech, turn)
    speech.reset()
    np.testing.assert_array_equal(spoken(speech, turn), first)


def test_finish_ends_an_open_segment() -> None:
    speech = decoder()
    first = speech.push(codes(9))
    whole = np.concatenate([first, speech.finish()])
    np.testing.assert_array_equal(whole, spoken(decoder(), [[codes(9)]]))


def test_segments_without_codes_leave_no_trace() -> None:
    one, two = [codes(9)], [codes(4)]
    want = spoken(decoder(), [one, two])
    got = spoken(decoder(), [[], one, [], [codes(0)], two, []])
    np.testing.assert_array_equal(got, want)
    assert len(decoder().end_segment()) == len(decoder().finish()) == 0


def test_codes_may_be_numpy_arrays() -> None:
    want = spoken(decoder(), [[codes(9)]])
    arrays = [row.numpy().astype(np.int32) for row in codes(9)]
    np.testing.assert_array_equal(spoken(decoder(), [arrays]), want)


def test_codes_outside_their_codebook_are_an_error() -> None:
    wrong = codes(10)
    wrong[3, 0] = golden_model().audio_tokenizer.codebook_sizes[0]
    with pytest.raises(ValueError, match="codebook"):
        decoder().push(wrong)


def test_an_uncut_stream_is_the_offline_sound() -> None:
    """A chunk as long as the segment leaves mel and statistics whole: the same way, twice."""
    whole = offline(codes(20), seed=3)
    streamed = spoken(decoder(mel=MelStreamOptions(chunks=(25,))), [codes(20).unbind()])
    assert len(whole) == len(streamed) == expected_samples([20])
    assert np.abs(whole - streamed).max() <= WAVE_ATOL


def test_a_tokenizer_in_half_precision_speaks_through_a_float32_vocoder() -> None:
    tokenizer = golden_model(torch.bfloat16).audio_tokenizer
    speech = SpeechDecoder(tokenizer, golden_vocoder(), seed=0)
    for sound in (offline(codes(9), 0, torch.bfloat16), spoken(speech, [[codes(9)]])):
        assert sound.dtype == np.float32
        assert len(sound) == expected_samples([9])
        assert np.isfinite(sound).all()
        assert sound.std() > 0.001


def random_mel(frames: int) -> Tensor:
    bins = golden_vocoder().config.in_channels
    return torch.randn(frames, bins, generator=torch.Generator().manual_seed(9)) * 2 - 4


def offline_and_segment(frames: int, sizes: list[int], **options: Any) -> tuple[Samples, Samples]:
    """The same mel by the vocoder at once, and by a segment in chunks."""
    mel, vocoder = random_mel(frames), golden_vocoder()
    noise = torch.Generator().manual_seed(1)
    offline = vocoder(mel.T[None], generator=noise)[0].numpy()
    segment = SegmentSound(vocoder, noise.manual_seed(1), SpeechOptions(**options))
    chunks = list(mel.split(sizes))
    pieces = [segment.push(chunk) for chunk in chunks[:-1]]
    return offline, np.concatenate([*pieces, segment.finish(chunks[-1])])


def test_sound_that_is_never_early_is_the_vocoders() -> None:
    offline, streamed = offline_and_segment(100, [24, 24, 24, 28], early="never")
    assert len(offline) == len(streamed)
    assert np.abs(offline - streamed).max() <= STREAM_ATOL


def test_only_early_sound_differs_and_little() -> None:
    options = SpeechOptions()
    offline, streamed = offline_and_segment(100, [24, 24, 24, 28])
    start = max(1, 24 * SAMPLES - lookahead_samples(golden_vocoder()))
    end = (24 - options.early_frames) * SAMPLES + options.fade_samples
    difference = np.abs(offline - streamed)
    assert difference[:start].max() <= STREAM_ATOL
    assert difference[end:].max() <= STREAM_ATOL
    assert 0 < difference[start:end].max() < 0.1 * np.abs(offline).max()


@pytest.mark.parametrize("early", ["never", "first", "always"])
@pytest.mark.parametrize("sizes", [[24, 24, 24, 28], [1] * 40 + [60], [20, 1, 1, 78], [99, 1]])
def test_chunk_borders_are_not_heard(early: str, sizes: list[int]) -> None:
    """No step between samples is larger than the vocoder itself makes in the same place."""
    offline, streamed = offline_and_segment(100, sizes, early=early)
    assert len(offline) == len(streamed)
    steps, reference = np.abs(np.diff(streamed)), np.abs(np.diff(offline))
    assert steps.max() <= 1.05 * reference.max()


class Unlike:
    """A vocoder of silence, whose previews drift away from it, to 1, 2, 3, ... at their ends."""

    samples_per_frame = SAMPLES
    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, lag: int) -> None:
        self.lag, self.frames, self.given, self.previews = lag, 0, 0, 0

    def __call__(self, mel: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        raise AssertionError("it is used by streams alone")

    def stream(self, *, generator: torch.Generator | None = None) -> Unlike:
        return self

    def push(self, mel: Tensor) -> Tensor:
        self.frames += mel.shape[-1]
        return self.give(max(0, self.frames - self.lag) * SAMPLES)

    def finish(self) -> Tensor:
        return self.give(self.frames * SAMPLES)

    def preview(self) -> Tensor:
        self.previews += 1
        return torch.linspace(0, self.previews, self.frames * SAMPLES - self.given)[None]

    def give(self, total: int) -> Tensor:
        count, self.given = total - self.given, total
        return torch.zeros(1, count)


@pytest.mark.parametrize("sizes", [[10, 10, 10], [10, 1, 1, 9, 1, 8], [10, 20]])
def test_every_early_end_is_faded_from(sizes: list[int]) -> None:
    lag, kept = 6, 2  # mel frames
    options = SpeechOptions(early="always", early_frames=kept)
    segment = SegmentSound(Unlike(lag), torch.Generator(), options)
    chunks = list(torch.zeros(30, 4).split(sizes))
    pieces = [segment.push(chunk) for chunk in chunks[:-1]]
    assert [len(piece) for piece in pieces] == [
        SAMPLES * (frames if index else frames - kept) for index, frames in enumerate(sizes[:-1])
    ]
    sound = np.concatenate([*pieces, segment.finish(chunks[-1])])
    assert len(sound) == 30 * SAMPLES
    assert sound.max() > 0.5
    assert sound[-1] == 0
    assert np.abs(np.diff(sound)).max() < len(sizes) / (FADE - 1)


def sound_by_code(speech: SpeechDecoder, count: int) -> list[int]:
    """Samples in hand after each of ``count`` codes."""
    given, totals = 0, []
    for row in codes(count):
        given += len(speech.push(row))
        totals.append(given)
    return totals


def test_the_first_chunk_is_let_out_early() -> None:
    chunk = SpeechOptions().mel.chunks[0]
    exact = max(0, 4 * chunk * SAMPLES - lookahead_samples(golden_vocoder()) - FADE)
    early = (4 * chunk - SpeechOptions().early_frames) * SAMPLES - FADE
    assert sound_by_code(decoder(early="never"), chunk + 1) == [0] * chunk + [exact]
    assert sound_by_code(decoder(), chunk + 1) == [0] * chunk + [early]
    assert early > 2 * exact


def test_early_sound_costs_none_later() -> None:
    totals = {kind: sound_by_code(decoder(early=kind), 40) for kind in ("never", "first", "always")}
    assert all(a <= b for a, b in zip(totals["never"], totals["first"], strict=True))
    assert all(a <= b for a, b in zip(totals["first"], totals["always"], strict=True))
    assert totals["never"][-1] == totals["first"][-1] < totals["always"][-1]


def test_senseless_options_are_an_error() -> None:
    for options in ({"early_frames": -1}, {"fade_samples": -1}):
        with pytest.raises(ValueError, match="negative"):
            decoder(**options)
