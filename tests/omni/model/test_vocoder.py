"""The vocoder beyond the golden numbers: streaming, phases, noise, weight norm, names, files."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from omni.config import F0PredictorConfig, VocoderConfig
from omni.errors import CheckpointError
from omni.model.vocoder.checkpoint import load_vocoder
from omni.model.vocoder.hift import HiFTVocoder
from omni.model.vocoder.kinds import CONFIG_FILE
from omni.model.vocoder.source import HarmonicSource, SourceNoise
from omni.model.vocoder.stream import VocoderStream
from tests.omni.model.test_keys import published, tensors_of
from tests.support.golden_set import GoldenSet
from tests.support.golden_vocoder import golden_vocoder
from tests.support.lookahead import lookahead_samples, released_samples

STREAM_ATOL = 1e-5  # the golden wave's tolerance is 1e-3; cutting costs rounding alone
FRAMES = 8  # of the mel that is cut in every way
SHORT_SIGHTED = VocoderConfig(  # looks 6 frames ahead, so that a short mel already streams
    in_channels=6,
    base_channels=16,
    resblock_kernel_sizes=(3,),
    resblock_dilation_sizes=((1,),),
    source_resblock_kernel_sizes=(3, 3, 3),
    source_resblock_dilation_sizes=((1,), (1,), (1,)),
    f0_predictor=F0PredictorConfig(in_channels=6, cond_channels=8),
)


def seeded(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fresh(config: VocoderConfig, seed: int = 0) -> HiFTVocoder:
    """Random weights, large enough that every layer is heard, and a pitch above the threshold."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vocoder = HiFTVocoder(config)
        for name, parameter in vocoder.named_parameters():
            if name.endswith("weight_g"):
                parameter.data.mul_(20)
        vocoder.f0_predictor.classifier.bias.data.fill_(150.0)
    return vocoder.eval()


def random_mel(config: VocoderConfig, frames: int, seed: int = 1) -> Tensor:
    return torch.randn(1, config.in_channels, frames, generator=seeded(seed)) * 2 - 4


def streamed(stream: VocoderStream, mel: Tensor, sizes: list[int]) -> Tensor:
    pieces = [stream.push(piece) for piece in mel.split(sizes, dim=-1)]
    return torch.cat([*pieces, stream.finish()], dim=-1)


def every_split(frames: int) -> Iterator[list[int]]:
    """All ways to write ``frames`` as a sum of ordered positive numbers."""
    for count in range(frames):
        for cuts in combinations(range(1, frames), count):
            edges = [0, *cuts, frames]
            yield [b - a for a, b in pairwise(edges)]


def random_split(frames: int, rng: random.Random) -> list[int]:
    sizes: list[int] = []
    while sum(sizes) < frames:
        sizes.append(min(rng.choice((0, 1, 2, 3, 7, 24, 60)), frames - sum(sizes)))
    return sizes


def worst(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).detach().abs().max())


@torch.inference_mode()
def test_every_split_of_a_short_mel_gives_the_whole_wave() -> None:
    vocoder = fresh(SHORT_SIGHTED).fold_weight_norm()
    mel = random_mel(SHORT_SIGHTED, FRAMES)
    whole = vocoder(mel, generator=seeded())
    assert float(whole.std()) > 0.01
    assert released_samples(vocoder, FRAMES - 1) > 0
    for sizes in every_split(FRAMES):
        wave = streamed(vocoder.stream(generator=seeded()), mel, sizes)
        assert worst(wave, whole) <= STREAM_ATOL, sizes


@pytest.mark.parametrize("seed", range(4))
@torch.inference_mode()
def test_random_splits_of_a_long_mel_give_the_whole_wave(seed: int) -> None:
    vocoder, rng = golden_vocoder(), random.Random(seed)
    mel = random_mel(vocoder.config, 130, seed)
    whole = vocoder(mel, generator=seeded())
    wave = streamed(vocoder.stream(generator=seeded()), mel, random_split(130, rng))
    assert worst(wave, whole) <= STREAM_ATOL


@torch.inference_mode()
def test_a_batch_streams_too() -> None:
    vocoder = fresh(SHORT_SIGHTED).fold_weight_norm()
    mel = torch.cat([random_mel(SHORT_SIGHTED, 12, 1), random_mel(SHORT_SIGHTED, 12, 2)])
    stream = VocoderStream(vocoder, lambda: SourceNoise(vocoder.config, 2, generator=seeded()))
    whole = vocoder(mel, generator=seeded())
    assert worst(streamed(stream, mel, [5, 7]), whole) <= STREAM_ATOL


def test_samples_come_out_as_early_as_promised() -> None:
    vocoder = golden_vocoder()
    stream, given = vocoder.stream(generator=seeded()), 0
    mel = random_mel(vocoder.config, 40)
    for frames in range(1, 41):
        given += stream.push(mel[..., frames - 1 : frames]).shape[-1]
        assert given == released_samples(vocoder, frames)
    assert 40 * vocoder.samples_per_frame - given == lookahead_samples(vocoder)


def test_lookahead_is_the_reach_of_the_kernels() -> None:
    with torch.device("meta"):
        assert lookahead_samples(HiFTVocoder(VocoderConfig())) == 9240  # 385 ms
        assert lookahead_samples(HiFTVocoder(SHORT_SIGHTED)) < 7 * 480


def test_no_sample_is_kept_back_that_could_be_let_out() -> None:
    """The first hop of samples not given after some frames does depend on the next frame."""
    vocoder = fresh(SHORT_SIGHTED).double()
    mel = random_mel(SHORT_SIGHTED, 16).double().requires_grad_()
    zeros = torch.zeros(1, vocoder.m_source.harmonics, 16 * 480, dtype=torch.float64)
    wave = vocoder(mel, phase=zeros[..., :1], noise=zeros)
    hop = SHORT_SIGHTED.istft_params.hop_len
    for frames in (9, 10):
        first = released_samples(vocoder, frames)
        for sample, seen in ((first - 1, False), (first + hop - 1, True)):
            (gradient,) = torch.autograd.grad(wave[0, sample], mel, retain_graph=True)
            assert bool(gradient[..., frames:].any()) is seen


@torch.inference_mode()
def test_a_preview_is_an_end_that_changes_nothing() -> None:
    vocoder = fresh(SHORT_SIGHTED).fold_weight_norm()
    mel = random_mel(SHORT_SIGHTED, 20)
    stream, other = vocoder.stream(generator=seeded()), vocoder.stream(generator=seeded())
    first = stream.push(mel[..., :11])
    preview = stream.preview()
    assert first.shape[-1] + preview.shape[-1] == 11 * 480
    assert torch.equal(preview, stream.preview())
    other.push(mel[..., :11])
    assert torch.equal(preview, other.finish())
    rest = torch.cat([stream.push(mel[..., 11:]), stream.finish()], dim=-1)
    whole = vocoder(mel, generator=seeded())
    assert worst(torch.cat([first, rest], dim=-1), whole) <= STREAM_ATOL


def test_a_stream_without_frames_is_empty_and_a_finished_one_closed() -> None:
    stream = golden_vocoder().stream()
    assert stream.finish().shape == (1, 0)
    with pytest.raises(RuntimeError):
        stream.push(random_mel(golden_vocoder().config, 1))
    with pytest.raises(RuntimeError):
        stream.finish()


def test_no_frames_are_no_samples() -> None:
    vocoder = golden_vocoder()
    assert vocoder(torch.zeros(1, vocoder.config.in_channels, 0)).shape == (1, 0)


def test_phases_stay_exact_for_ten_minutes() -> None:
    """A steady pitch, second by second: the last sample is where the formula says."""
    source = HarmonicSource(SHORT_SIGHTED)
    pitch, minutes = 217.3, 10
    f0, noise = torch.full((1, 50), pitch), torch.zeros(1, source.harmonics, 50 * 480)
    phase, cycles = torch.zeros(1, source.harmonics, 1), None
    with torch.inference_mode():
        source.l_linear.weight.fill_(0).view(-1)[-1] = 5.0  # the highest harmonic alone
        source.l_linear.bias.fill_(0)
        for _ in range(60 * minutes):
            wave, cycles = source(f0, phase, noise, cycles)
    exact = float(torch.tensor(pitch)) / 24_000 * (24_000 * 60 * minutes)
    expected = math.tanh(5 * 0.1 * math.sin(2 * math.pi * source.harmonics * exact))
    assert float(wave[0, 0, -1]) == pytest.approx(expected, abs=1e-5)


def test_noise_is_a_function_of_the_sample() -> None:
    whole = SourceNoise(SHORT_SIGHTED, generator=seeded())
    cut = SourceNoise(SHORT_SIGHTED, generator=seeded())
    assert torch.equal(whole.phase, cut.phase)
    assert float(whole.phase[:, 0].abs().max()) == 0
    assert float(whole.phase.abs().max()) <= math.pi
    pieces = [cut.frames(0, 3), cut.frames(3, 4)]
    cut.forget(before=4)
    pieces.append(cut.frames(4, 10))
    noise = whole.frames(0, 10)
    assert torch.equal(torch.cat(pieces, dim=-1), noise)
    assert torch.equal(noise, whole.frames(0, 10))
    assert abs(float(noise.std()) - 1) < 0.02


def test_another_seed_is_another_sound() -> None:
    vocoder = golden_vocoder()
    mel = random_mel(vocoder.config, 5)
    one, two = (vocoder(mel, generator=seeded(seed)) for seed in (1, 2))
    assert worst(one, two) > 1e-4


def test_recorded_noise_that_ends_too_early_is_an_error() -> None:
    draws = SourceNoise(SHORT_SIGHTED, noise=torch.zeros(1, 9, 480))
    with pytest.raises(ValueError, match="ends before"):
        draws.frames(0, 2)


def test_names_and_shapes_are_the_published() -> None:
    with torch.device("meta"):
        assert tensors_of(HiFTVocoder(VocoderConfig())) == published("vocoder")


def test_folding_keeps_the_sound() -> None:
    vocoder, folded = fresh(SHORT_SIGHTED), fresh(SHORT_SIGHTED).fold_weight_norm()
    mel = random_mel(SHORT_SIGHTED, 8)
    assert worst(vocoder(mel, generator=seeded()), folded(mel, generator=seeded())) < 1e-4
    assert not any(name.endswith("weight_g") for name in folded.state_dict())


def test_unfolded_gradients_reach_every_parameter() -> None:
    vocoder = fresh(SHORT_SIGHTED)
    vocoder(random_mel(SHORT_SIGHTED, 6), generator=seeded()).square().mean().backward()
    silent = [n for n, p in vocoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_moving_a_folded_vocoder_moves_its_precise_pitch_predictor() -> None:
    predictor = fresh(SHORT_SIGHTED).fold_weight_norm().f0_predictor
    mel = random_mel(SHORT_SIGHTED, 6)
    before = predictor.precise()(mel)
    assert before.dtype == torch.float64
    predictor.half().float()
    assert 0 < worst(predictor.precise()(mel), before) < 1


@pytest.fixture
def published_file(golden: GoldenSet) -> dict[str, Tensor]:
    return torch.load(golden.checkpoint / "hift.pt", weights_only=True)


def newer_spelling(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): tensor
        for name, tensor in tensors.items()
    }


@pytest.mark.parametrize("form", ["newer", "wrapped", "prefixed", "safetensors", "folded"])
def test_every_form_of_the_file_loads(
    form: str, published_file: dict[str, Tensor], golden: GoldenSet, tmp_path: Path
) -> None:
    path = tmp_path / ("hift.safetensors" if form == "safetensors" else "hift.pt")
    (tmp_path / CONFIG_FILE).write_bytes((golden.checkpoint / CONFIG_FILE).read_bytes())
    if form == "newer":
        torch.save(newer_spelling(published_file), path)
    elif form == "wrapped":
        torch.save({"epoch": 3, "state": {"generator": published_file}}, path)
    elif form == "prefixed":
        torch.save({f"module.{n}": t for n, t in published_file.items()} | {"step": 1}, path)
    elif form == "safetensors":
        save_file(published_file, path)
    else:
        torch.save(golden_vocoder().state_dict(), path)
    have, want = load_vocoder(path).state_dict(), golden_vocoder().state_dict()
    assert have.keys() == want.keys()
    assert all(torch.equal(have[name], want[name]) for name in want)


def test_a_given_config_is_used_before_the_file_beside(golden: GoldenSet) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_vocoder(golden.checkpoint / "hift.pt", SHORT_SIGHTED)
    assert caught.value.code == "vocoder-tensors"


class Trap:
    """A pickle that would make a folder when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.mkdir, (self.path,)  # type: ignore[return-value]


def test_a_file_with_code_is_refused_and_the_code_not_run(tmp_path: Path) -> None:
    path, sprung = tmp_path / "hift.pt", tmp_path / "sprung"
    torch.save({"conv_pre.bias": Trap(sprung)}, path)
    with pytest.raises(CheckpointError) as caught:
        load_vocoder(path, SHORT_SIGHTED)
    assert caught.value.code == "vocoder-broken"
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x04K\x05.", b"PK\x03\x04junk"])
def test_a_broken_file_is_said_to_be(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "hift.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_vocoder(path, SHORT_SIGHTED)
    assert caught.value.code in ("vocoder-broken", "vocoder-tensors")
    assert str(path) in str(caught.value)


def test_a_cut_file_is_said_to_be_broken(golden: GoldenSet, tmp_path: Path) -> None:
    path = tmp_path / "hift.pt"
    path.write_bytes((golden.checkpoint / "hift.pt").read_bytes()[:-5000])
    with pytest.raises(CheckpointError) as caught:
        load_vocoder(path, SHORT_SIGHTED)
    assert caught.value.code == "vocoder-broken"


def test_a_missing_file_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_vocoder(tmp_path / "hift.pt", SHORT_SIGHTED)
    assert caught.value.code == "vocoder-file-missing"


def test_what_is_wrong_with_the_tensors_is_named(
    published_file: dict[str, Tensor], golden: GoldenSet, tmp_path: Path
) -> None:
    path = tmp_path / "hift.pt"
    (tmp_path / CONFIG_FILE).write_bytes((golden.checkpoint / CONFIG_FILE).read_bytes())
    del published_file["conv_post.bias"]
    published_file["stranger"] = torch.zeros(1)
    published_file["ups.0.bias"] = torch.zeros(3)
    torch.save(published_file, path)
    with pytest.raises(CheckpointError) as caught:
        load_vocoder(path)
    for part in ("1 missing (conv_post.bias)", "1 unexpected (stranger)", "shape (ups.0.bias)"):
        assert part in str(caught.value)


def test_a_class_that_there_is_not_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text('{"vocoder_type": "organ"}')
    torch.save({}, tmp_path / "hift.pt")
    with pytest.raises(CheckpointError) as caught:
        load_vocoder(tmp_path / "hift.pt")
    assert caught.value.code == "vocoder-sizes" and "organ" in str(caught.value)


def test_sizes_that_are_no_vocoder_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text('{"upsample_rates": [8, 5], "base_channels": 16}')
    torch.save({}, tmp_path / "hift.pt")
    with pytest.raises(CheckpointError) as caught:
        load_vocoder(tmp_path / "hift.pt")
    assert caught.value.code == "vocoder-sizes"
