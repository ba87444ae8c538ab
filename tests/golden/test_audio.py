"""Audio encoder, bridge and quantizer against what the published code computed.

Features (and what they are made of) are compared in test_media.py; here they are inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from omni.media.audio import audio_pieces, read_waveform
from tests.support.golden_model import ATOL, assert_close, golden_model, names_of
from tests.support.golden_set import GoldenSet, golden_set
from tests.support.recording import calls_of

CLEAR = 1e-3  # golden README.json: a code is certain where its margin is above
BATCH = "batch_"  # batch_<wave>_<wave>: both in one call
MEDIA = {  # compared in test_media.py
    "features",
    "features_at_frame_index",
    "frame_index",
    "mel_filters_201x128",
    "waveform16k_mono",
}
INPUTS = {"encoder_index", "bridge_index", "code_margin"}
NAMES = names_of("audio", *MEDIA, *INPUTS)


@dataclass
class Run:
    """What our encoder and bridge made of some mels, intermediates included."""

    mels: list[Tensor]
    found: dict[str, Tensor]


def mels_of(wave: str) -> list[Tensor]:
    """The features of a wave's pieces: the recorded ones, or ours where just some are recorded."""
    golden = golden_set()
    tensors, entry = golden.tensors("audio"), golden.json("audio")["waves"][wave]
    stored = tensors.get(f"{wave}.waveform16k_mono")
    path = golden.input(entry["file"])
    waveform = read_waveform(path) if stored is None else stored[0].numpy()
    mels = [piece.mel for piece in audio_pieces(waveform, golden_model().config.audio)]
    recorded = tensors.get(f"{wave}.features")
    if recorded is None:
        return mels
    pairs = zip(recorded, mels, strict=True)
    return [features[:, : mel.shape[1]] for features, mel in pairs]


@cache
def run(*waves: str) -> Run:
    """All pieces of some waves in one call, padded as the published code pads them."""
    tokenizer = golden_model().audio_tokenizer
    encoder, bridge = tokenizer.audio_model, tokenizer.audio_bridge_model
    mels = [mel for wave in waves for mel in mels_of(wave)]
    watched: dict[str, nn.Module] = {"conv1_pre_gelu": encoder.conv1}
    watched |= {f"layer{i}_packed": layer for i, layer in enumerate(encoder.layers)}
    with torch.no_grad(), calls_of(watched) as calls:
        hidden = encoder(mels, batch_padding=True)
        padded = pad_sequence(hidden, batch_first=True)
        found = {name: made[0][1] for name, made in calls.items()}
        found |= {
            "encoder_out": padded,
            "encoder_length": torch.tensor([len(x) for x in hidden]),
            "bridge_length": torch.tensor([bridge.code_length(len(x)) for x in hidden]),
            "bridge_pre_vq": bridge.latents(padded),
            "codes": torch.cat(tokenizer.encode(mels, batch_padding=True)),
        }
    return Run(mels, found)


def waves_of(case: str) -> tuple[str, ...]:
    """The waves that a case runs together."""
    waves = list(golden_set().json("audio")["waves"])
    if case in waves:
        return (case,)
    pairs = [(a, b) for a in waves for b in waves if f"{BATCH}{a}_{b}" == case]
    assert len(pairs) == 1, f"{case}: which waves?"
    return pairs[0]


def certain(margins: Tensor) -> Tensor:
    """Where a code must be equal: its margin and those of the levels before it are clear."""
    return (margins > CLEAR).cumprod(1).bool()


@pytest.mark.parametrize("name", NAMES)
def test_every_golden_tensor(golden: GoldenSet, name: str) -> None:
    tensors = golden.tensors("audio")
    want = tensors[name]
    model = golden_model()
    bridge = model.audio_tokenizer.audio_bridge_model
    if name.startswith("positional_embedding"):
        assert_close(model.audio_tokenizer.audio_model.positional_embedding[: len(want)], want, 0)
        return
    case, part = name.split(".")
    codes = tensors[f"{case}.codes"].long()
    if part == "codes":
        have = run(*waves_of(case)).found["codes"]
        margins = torch.cat([tensors[f"{wave}.code_margin"] for wave in waves_of(case)])
        clear = certain(margins)
        assert have.shape == want.shape
        assert clear.float().mean() > 0.5
        assert torch.equal(have[clear], codes[clear])
    elif part == "audio_embed_sum":
        assert_close(model.embed_codes(codes), want)
    elif part == "recover":
        assert_close(bridge.recover(codes), want)
    elif part == "bridge_decode":
        assert_close(bridge.decode(codes), want)
    elif "_at_" in part:
        part, index = part.split("_at_")
        assert_close(run(*waves_of(case)).found[part][:, tensors[f"{case}.{index}"]], want)
    elif part.startswith("encoder_out_"):  # of one wave of a batch
        which = waves_of(case).index(part.removeprefix("encoder_out_"))
        assert_close(run(*waves_of(case)).found["encoder_out"][which, : len(want)], want)
    elif part.startswith("features_") and part.endswith("_padded_shape"):
        # of what the published code pads; our encoder reads one zero frame of it
        longest = max(mel.shape[1] for mel in run(*waves_of(case)).mels)
        assert want[-1] == longest
    else:
        have = run(*waves_of(case)).found[part]
        if not want.is_floating_point():
            assert torch.equal(have, want)
        else:
            assert_close(have, want)


def test_a_padded_batch_moves_the_numbers_as_much_as_published(golden: GoldenSet) -> None:
    for case, entry in golden.json("audio").items():
        if not case.startswith(BATCH):
            continue
        first = waves_of(case)[0]
        length = int(golden.tensors("audio")[f"{first}.encoder_length"][0])
        together = run(*waves_of(case)).found["encoder_out"][0, :length]
        moved = (together - run(first).found["encoder_out"][0]).abs().max()
        assert moved == pytest.approx(entry["max_abs_diff_encoder_short_vs_alone"], abs=2 * ATOL)


def test_a_recording_over_30_s_depends_on_the_padding_only_in_its_last_piece() -> None:
    tokenizer = golden_model().audio_tokenizer
    long = [wave for wave in golden_set().json("audio")["waves"] if len(mels_of(wave)) > 1]
    assert long, "this golden set has no recording over 30 s"
    for wave in long:
        mels = mels_of(wave)
        with torch.no_grad():
            alone, padded = (tokenizer.audio_model(mels, padding) for padding in (False, True))
        for a, b in zip(alone[:-1], padded[:-1], strict=True):
            assert_close(a, b, 1e-5)
        odd = mels[-1].shape[1] % 2
        assert bool(odd) == bool((alone[-1] - padded[-1]).abs().max() > 1e-3)
