"""The vocoder's numbers, and the whole way from codes to joined waves, against the published."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from omni.speech.joining import join
from tests.support.golden_model import ATOL, assert_close, golden_model
from tests.support.golden_set import GoldenSet
from tests.support.golden_vocoder import case, cases, golden_vocoder

# golden README.json
F0_RTOL, F0_ATOL = 1e-5, 1e-3  # Hz
WAVE_ATOL = 1e-3  # from the mel: the published code sums phases in float32
WAVE_FROM_SOURCE_ATOL = 2e-5
PUBLISHED_FADE = 240  # samples, inserted

pytestmark = pytest.mark.usefixtures("no_gradients")
folds = pytest.mark.parametrize("fold", [True, False], ids=["folded", "weight norm"])
named = pytest.mark.parametrize("name", cases())


@pytest.fixture
def no_gradients():  # type: ignore[no-untyped-def]
    with torch.inference_mode():
        yield


@folds
@named
def test_pitch(name: str, fold: bool) -> None:
    recorded, predictor = case(name), golden_vocoder(fold).f0_predictor
    for f0 in (predictor(recorded.mel), predictor.precise()(recorded.mel)):
        torch.testing.assert_close(f0.float(), recorded.f0, rtol=F0_RTOL, atol=F0_ATOL)


@named
def test_source_of_the_recorded_pitch(name: str) -> None:
    recorded = case(name)
    source, _ = golden_vocoder().m_source(recorded.f0, recorded.phase, recorded.noise)
    assert_close(source.transpose(1, 2), recorded.source, WAVE_ATOL)


@folds
@named
def test_wave_of_the_recorded_source(name: str, fold: bool) -> None:
    recorded, vocoder = case(name), golden_vocoder(fold)
    spectrum = vocoder.spectrum(recorded.mel, recorded.source.transpose(1, 2))
    assert_close(spectrum, recorded.conv_post, ATOL)
    assert_close(vocoder.synthesize(spectrum), recorded.wave, WAVE_FROM_SOURCE_ATOL)


@folds
@named
def test_wave_of_the_mel(name: str, fold: bool) -> None:
    recorded = case(name)
    wave = golden_vocoder(fold)(recorded.mel, phase=recorded.phase, noise=recorded.noise)
    assert_close(wave, recorded.wave, WAVE_ATOL)


@pytest.mark.parametrize("size", [1, 2, 5])
@named
def test_streamed_wave_of_the_mel(name: str, size: int) -> None:
    recorded = case(name)
    stream = golden_vocoder().stream(phase=recorded.phase, noise=recorded.noise)
    pieces = [stream.push(piece) for piece in recorded.mel.split(size, dim=-1)]
    assert_close(torch.cat([*pieces, stream.finish()], dim=-1), recorded.wave, WAVE_ATOL)


def segment_codes(frames: Tensor) -> Tensor:
    """``(1, frames, codebooks)`` as the published loop returns them, cut at the end frame."""
    (ends,) = torch.where(frames[0, :, 0] == golden_model().audio_tokenizer.codebook_sizes[0])
    return frames[0, : int(ends[0])].long()


def test_codes_to_joined_waves(golden: GoldenSet) -> None:
    recorded, vocoder = golden.tensors("generation"), golden_vocoder()
    numbers = sorted(n.removeprefix("e2e.frames") for n in recorded if "e2e.frames" in n)
    assert numbers
    waves = []
    for number in numbers:
        noise = recorded[f"e2e.z{number}"].transpose(1, 2)
        codes = segment_codes(recorded[f"e2e.frames{number}"])
        mel, _ = golden_model().audio_tokenizer.decode(codes, noise=noise)
        harmonics, samples = vocoder.m_source.harmonics, mel.shape[1] * vocoder.samples_per_frame
        zeros = torch.zeros(1, harmonics, samples)
        wave = vocoder(mel.transpose(1, 2), phase=zeros[..., :1], noise=zeros)
        assert_close(wave, recorded[f"e2e.wave{number}"], WAVE_ATOL)
        waves.append(wave[0].numpy())
    joined = waves[0]
    for wave in waves[1:]:
        joined = join(joined, wave, PUBLISHED_FADE, "insert")
    assert_close(torch.from_numpy(joined)[None], recorded["e2e.concat"], WAVE_ATOL)


def test_inserting_join(golden: GoldenSet) -> None:
    recorded = golden.tensors("generation")
    waves = [recorded[n][0].numpy() for n in sorted(recorded) if n.startswith("e2e.wave")]
    joined = waves[0]
    for wave in waves[1:]:
        joined = join(joined, wave, PUBLISHED_FADE, "insert")
    np.testing.assert_allclose(joined, recorded["e2e.concat"][0].numpy(), rtol=0, atol=1e-7)
