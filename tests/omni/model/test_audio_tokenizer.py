"""The audio tokenizer's behaviour: items apart, lengths, dtypes, the quantizer, the flow."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from omni.model.audio.audio_decoder import NormStatistics, SpreadingConv
from omni.model.audio.flow import FlowOptions, FrameNoise
from omni.model.audio.flow_unet import BLOCK_FRAMES, CausalConv, UNetMemory, seen_frames
from omni.model.audio.rvq import VectorQuantizer
from omni.model.layers.whisper import CausalAttend, GrowingPair, PackedAttend, sinusoids
from tests.support.golden_model import assert_close, golden_model
from tests.support.tiny_audio import CODEBOOKS, random_codes, random_mel, tiny_tokenizer

HALF = [torch.bfloat16, torch.float16]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Encoder


@torch.no_grad()
def test_items_of_a_call_do_not_touch_each_other() -> None:
    encoder = tiny_tokenizer().audio_model
    mels = [random_mel(frames, frames) for frames in (37, 8, 1, 64)]
    for mel, together in zip(mels, encoder(mels), strict=True):
        assert_close(together, encoder([mel])[0], 1e-6)


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 2, 7, 8, 37, 38])
def test_one_zero_frame_stands_for_the_padding_of_a_batch(frames: int) -> None:
    """The published way in full: convolve the padded mel, then keep the valid rows."""
    encoder = tiny_tokenizer().audio_model
    mel, longer = random_mel(frames, 1), random_mel(60, 2)
    batch = torch.stack((F.pad(mel, (0, 60 - frames)), longer))
    x = F.gelu(encoder.conv2(F.gelu(encoder.conv1(batch))))[:1].transpose(1, 2)
    kept = encoder.output_length(frames)
    x = (x + encoder.positional_embedding[: x.shape[1]])[:, :kept]
    for layer in encoder.layers:
        x = layer(x, plain_attention)
    assert_close(encoder([mel, longer], batch_padding=True)[0], encoder.layer_norm(x)[0], 1e-5)

    alone = encoder([mel])[0]
    assert torch.equal(encoder([mel], batch_padding=True)[0], alone)
    differs = bool((encoder([mel, longer], batch_padding=True)[0] - alone).abs().max() > 1e-5)
    assert differs == (frames % 2 == 1)


def plain_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Full attention of ``(batch, frames, heads, head_dim)``, written out."""
    scores = torch.einsum("bqhd,bkhd->bhqk", query, key) / query.shape[-1] ** 0.5
    return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), value)


def test_packed_attention_of_equal_and_of_different_lengths() -> None:
    for lengths in ([5, 5, 5], [3, 9, 1], [4, 0, 2], [6]):
        query, key, value = torch.randn(3, sum(lengths), 2, 4, generator=seeded()).unbind()
        parts = zip(*(x.split(lengths) for x in (query, key, value)), strict=True)
        want = [plain_attention(*(x[None] for x in part))[0] for part in parts]
        assert_close(PackedAttend(lengths)(query, key, value), torch.cat(want), 1e-6)


def test_a_mel_that_cannot_be_encoded_is_refused() -> None:
    encoder = tiny_tokenizer().audio_model
    with pytest.raises(ValueError, match="no frames"):
        encoder([random_mel(0)])
    with pytest.raises(ValueError, match="3001 mel frames"):
        encoder([random_mel(3001)])
    assert encoder([]) == []


def test_lengths_from_mel_frames_to_codes() -> None:
    tokenizer = tiny_tokenizer()
    for frames in (1, 2, 6, 7, 8, 9, 15, 50):
        hidden = (frames - 1) // 2 + 1
        codes = tokenizer.encode([random_mel(frames)])[0]
        assert codes.shape == (hidden // 4, len(CODEBOOKS))
        assert codes.dtype == torch.int64


def test_positions_are_read_from_the_checkpoint() -> None:
    """Close to the formula, but with the rounding of the file."""
    tokenizer = golden_model().audio_tokenizer
    for part in (tokenizer.audio_model, tokenizer.audio_decoder):
        table = part.positional_embedding
        assert_close(table, sinusoids(*table.shape), 2**-8)
        assert torch.equal(table, table.bfloat16().float())


# Quantizer


def test_the_nearest_entry_and_the_lowest_of_equals() -> None:
    quantizer = VectorQuantizer(4, 2)
    entries = torch.tensor([[3.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    quantizer.codebook.embed.copy_(entries)
    x = torch.tensor([[2.9, 0.0], [0.0, 2.0], [0.9, 0.1], [0.5, 0.5]])
    assert quantizer.encode(x).tolist() == [0, 1, 2, 1]
    assert_close(quantizer.distances(x), torch.cdist(x, entries), 1e-5)


def test_what_is_left_over_goes_to_the_next_level() -> None:
    bridge = tiny_tokenizer().audio_bridge_model
    latents = torch.randn(9, 96, generator=seeded())
    codes, rest = bridge.quantize(latents), latents
    for level, quantizer in enumerate(bridge.levels):
        distances = torch.cdist(rest, quantizer.codebook.embed)
        assert torch.equal(codes[:, level], distances.argmin(1))
        rest = rest - quantizer.codebook.embed[codes[:, level]]
    assert_close(bridge.recover(codes), latents - rest, 1e-5)


def test_quantization_is_float32_under_autocast() -> None:
    bridge = tiny_tokenizer().audio_bridge_model
    latents = torch.randn(50, 96, generator=seeded())
    codes = bridge.quantize(latents)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(bridge.quantize(latents), codes)
        assert bridge.vq_list[0].distances(latents).dtype == torch.float32


def test_half_precision_rounds_what_is_left_over_between_levels() -> None:
    bridge = tiny_tokenizer(torch.bfloat16).audio_bridge_model
    latents = torch.randn(5000, 96, generator=seeded()).bfloat16()

    def codes(between: torch.dtype) -> Tensor:
        rest, found = latents, []
        for quantizer in bridge.levels:
            entries = quantizer.codebook.embed.float()
            found.append(torch.cdist(rest.float(), entries).argmin(1))
            rest = (rest.float() - entries[found[-1]]).to(between)
        return torch.stack(found, dim=1)

    assert torch.equal(bridge.quantize(latents), codes(torch.bfloat16))
    assert not torch.equal(codes(torch.bfloat16), codes(torch.float32))


# Decoder


def test_spreading_equals_the_transposed_convolution_and_its_norm() -> None:
    torch.manual_seed(0)
    spreading = SpreadingConv(6, 8, kernel=3, stride=4)
    with torch.no_grad():
        spreading.norm.weight.uniform_(0.5, 2)
        spreading.norm.bias.uniform_(-1, 1)
    x = torch.randn(2, 5, 6)
    want = spreading.norm(spreading.conv(x.transpose(1, 2))).transpose(1, 2)
    assert_close(spreading(x), want, 1e-5)
    assert spreading.output_length(5) == 19 and spreading.output_length(0) == 0
    with pytest.raises(ValueError, match="overlaps"):
        SpreadingConv(6, 8, kernel=5, stride=4)


@pytest.mark.parametrize("split", range(1, 12))
def test_statistics_of_parts_are_those_of_the_whole(split: int) -> None:
    x = torch.randn(2, 12, 5, generator=seeded()) * 3 + 7
    whole = NormStatistics.of(x)
    merged = NormStatistics.of(x[:, :split]).merge(NormStatistics.of(x[:, split:]))
    assert merged.count == whole.count == 60
    assert_close(merged.mean, whole.mean, 1e-5)
    assert_close(merged.variance, whole.variance, 1e-5)
    assert_close(whole.variance, x.var(dim=(1, 2), correction=0, keepdim=True), 1e-5)


@torch.no_grad()
@pytest.mark.parametrize("split", range(1, 15))
def test_a_causal_layer_continues_where_it_stopped(split: int) -> None:
    layer = tiny_tokenizer().audio_decoder.layers[0]
    x = torch.randn(1, 15, 24, generator=seeded())
    attend = CausalAttend(keep=True)
    parts = [layer(part, attend) for part in (x[:, :split], x[:, split:])]
    assert_close(torch.cat(parts, dim=1), layer(x, CausalAttend()), 1e-5)


def test_growing_pair_keeps_what_is_committed_and_its_context() -> None:
    frames = torch.arange(1000.0).reshape(1, -1, 1, 1)
    pair, start = GrowingPair(context=300), 0
    for new, commit in [(100, 60), (90, 90), (200, 150), (1, 1), (250, 250), (10, 0), (10, 10)]:
        part = frames[:, start : start + new]
        keys, values = pair.write(part, -part, commit)
        first = max(0, start - 300)
        assert torch.equal(keys, frames[:, first : start + new])
        assert torch.equal(values, -keys)
        start += commit


def test_segments_of_a_batch_are_decoded_apart_but_for_the_norm() -> None:
    tokenizer = tiny_tokenizer()
    codes, noise = random_codes(12), torch.randn(2, 31, 10, generator=seeded())
    mel, lengths = tokenizer.decode(codes, [8, 4], noise)
    assert lengths.tolist() == [31, 15] and mel.shape == (2, 31, 10)
    assert_close(mel[:1], tokenizer.decode(codes[:8], noise=noise[:1])[0], 1e-5)
    alone, _ = tokenizer.decode(codes[8:], noise=noise[1:, :15])
    assert (mel[1, :15] - alone[0]).abs().max() > 1e-3
    assert not mel[1, 15:].any()


def test_an_empty_segment_gives_nothing_and_disturbs_nothing() -> None:
    tokenizer = tiny_tokenizer()
    codes, noise = random_codes(30), torch.randn(3, 119, 10, generator=seeded())
    mel, lengths = tokenizer.decode(codes, [0, 30, 0], noise)
    assert lengths.tolist() == [0, 119, 0]
    assert torch.isfinite(mel).all() and not mel[0].any() and not mel[2].any()
    assert_close(mel[1:2], tokenizer.decode(codes, noise=noise[1:2])[0], 1e-5)
    none, lengths = tokenizer.decode(codes[:0])
    assert none.shape == (1, 0, 10) and lengths.tolist() == [0]


def test_codes_that_cannot_be_decoded_are_refused() -> None:
    tokenizer = tiny_tokenizer()
    end_row = torch.tensor([CODEBOOKS])
    for codes in (end_row, -torch.ones(1, 3, dtype=torch.long)):
        with pytest.raises(ValueError, match="outside its codebook"):
            tokenizer.decode(codes)
    with pytest.raises(ValueError, match=r"\(n, 3\)"):
        tokenizer.decode(random_codes(4)[:, :2])
    with pytest.raises(ValueError, match="lengths"):
        tokenizer.decode(random_codes(4), [3])
    with pytest.raises(ValueError, match="750 are the most"):
        tokenizer.decode(random_codes(751))
    assert tokenizer.audio_decoder.max_codes == 750


@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_is_finite_and_near(dtype: torch.dtype) -> None:
    half, whole = tiny_tokenizer(dtype), tiny_tokenizer()
    mels = [random_mel(90, 3), random_mel(41, 4)]
    hidden = [model.audio_model(mels, True) for model in (half, whole)]
    for a, b in zip(*hidden, strict=True):
        assert a.dtype == dtype
        assert_close(a.float(), b, 0.15)
    assert [len(codes) for codes in half.encode(mels)] == [11, 5]
    codes, noise = random_codes(35), torch.randn(2, 103, 10, generator=seeded())
    mel, _ = half.decode(codes, [26, 9], noise)
    assert mel.dtype == dtype and torch.isfinite(mel).all()
    near, _ = whole.decode(codes, [26, 9], noise)
    assert (mel.float() - near).norm() < 0.05 * near.norm()


# Flow


def test_noise_is_a_function_of_the_frame() -> None:
    whole = FrameNoise(10, seeded()).frames(0, 350)
    parts = FrameNoise(10, seeded())
    cut = [parts.frames(a, b) for a, b in [(0, 3), (3, 99), (99, 240), (240, 350), (5, 120)]]
    assert torch.equal(torch.cat(cut[:4]), whole)
    assert torch.equal(cut[4], whole[5:120])
    with pytest.raises(ValueError, match="noise for 350 frames"):
        FrameNoise(10, given=whole).frames(340, 351)


def test_a_seed_fixes_the_mel() -> None:
    tokenizer = tiny_tokenizer()
    one, again, other = (
        tokenizer.decode(random_codes(30), generator=seeded(seed))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert (one - other).abs().max() > 0.1


def test_times_run_from_zero_to_one_on_the_cosine_schedule() -> None:
    times = tiny_tokenizer().audio_flow_matching_decoder.times(4)
    want = 1 - torch.cos(torch.pi / 2 * torch.tensor([0, 0.25, 0.5, 0.75, 1], dtype=torch.float64))
    assert times.dtype == torch.float32
    assert_close(times, want, 1e-6)


@torch.no_grad()
def test_guidance_mixes_two_branches() -> None:
    flow = tiny_tokenizer().audio_flow_matching_decoder
    mu, noise = torch.randn(2, 1, 40, 10, generator=seeded()).unbind()
    once = FlowOptions(steps=1)  # one Euler step is x + v, so that the mix can be seen
    free = flow.conditional_decoder(noise, torch.zeros_like(mu), torch.tensor(0.0))
    guided = flow.conditional_decoder(noise, mu, torch.tensor(0.0))
    assert_close(flow.solve(mu, noise, options=once), noise + 1.7 * guided - 0.7 * free, 1e-5)
    plain = flow.solve(mu, noise, options=FlowOptions(steps=1, guidance=0))
    assert_close(plain, noise + guided, 1e-5)
    strong = FlowOptions(guidance=2.5)
    assert_close(
        flow.solve(mu, noise, options=strong),
        flow.solve(mu, noise, options=FlowOptions(guidance=2.5, one_batch=False)),
        1e-5,
    )


def test_a_convolution_follows_the_frames_that_were_kept() -> None:
    torch.manual_seed(0)
    conv, memory, start = CausalConv(3, 4), UNetMemory(), 0
    x = torch.randn(2, 60, 3)
    whole = conv(x)
    for new, kept in [(5, 0), (5, 1), (9, 1), (20, 16), (3, 3), (1, 1), (20, 2), (36, 36)]:
        memory.commit = kept
        part = conv(x[:, start : start + new], memory)
        assert_close(part, whole[:, start : start + new], 1e-6)
        start += kept
    assert start == 60


def test_a_frame_sees_its_block_and_what_came_before() -> None:
    frames, lengths = 2 * BLOCK_FRAMES + 30, torch.tensor([2 * BLOCK_FRAMES + 30, 120])
    seen = seen_frames(frames, lengths, torch.device("cpu"))
    assert seen is not None and seen.shape == (2, 1, frames, frames)
    for item, length in enumerate(lengths):
        for i in (0, 99, 100, 101, 199, 200, 229):
            want = [j < (i // 100 + 1) * 100 and j < length for j in range(frames)]
            assert seen[item, 0, i].tolist() == want
    assert seen_frames(BLOCK_FRAMES, None, torch.device("cpu")) is None
    assert seen_frames(20, torch.tensor([0, 5]), torch.device("cpu"))[0].any()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, *HALF])
def test_on_a_gpu(dtype: torch.dtype) -> None:
    codes, noise = random_codes(60), torch.randn(1, 239, 10, generator=seeded())
    want, _ = tiny_tokenizer().decode(codes, noise=noise)
    model = tiny_tokenizer(dtype).to("cuda")
    try:
        mel, _ = model.decode(codes, noise=noise)
        assert (mel.float().cpu() - want).norm() < 0.05 * want.norm()
        assert len(model.encode([random_mel(90)])[0]) == 11
    finally:
        model.to("cpu")
