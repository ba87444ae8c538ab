"""Codes to mel against what the published code computed, with its recorded noise."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from omni.model.audio.flow import FlowOptions
from tests.support.golden_model import ATOL, assert_close, golden_model, names_of
from tests.support.golden_set import GoldenSet, golden_set
from tests.support.recording import calls_of

UNUSED = {"coarse_mel_unused", "refined_mel_unused"}  # of dconv2 and post_net: read by nothing
NAMES = names_of("decode", "codes", "bridge_length", "z", *UNUSED)
CASES = sorted({name.split(".")[0] for name in NAMES})


@cache
def run(case: str) -> dict[str, Tensor]:
    """Our decoding of a case, intermediates included, under the golden names and layouts."""
    tokenizer = golden_model().audio_tokenizer
    tensors = golden_set().tensors("decode")
    flow = tokenizer.audio_flow_matching_decoder
    watched: dict[str, nn.Module] = {
        "dconv1_out": tokenizer.audio_decoder.dconv1,
        "hidden": tokenizer.audio_decoder,
        "prenet_out": flow.prenet,
        "flow_matching_mel": flow,
        "estimator": flow.conditional_decoder,
    }
    noise = tensors[f"{case}.z"].transpose(1, 2)
    lengths = tensors[f"{case}.bridge_length"]
    with calls_of(watched) as made:
        mel, mel_lengths = tokenizer.decode(tensors[f"{case}.codes"], lengths, noise=noise)
    calls = made.pop("estimator")
    found = {name: outputs[0][1] for name, outputs in made.items()}
    found |= {"mel": mel, "mel_lengths": mel_lengths}

    hidden, frames = found.pop("hidden")
    found["hidden_before_dconv2_packed"] = torch.cat(
        [row[:length] for row, length in zip(hidden, frames, strict=True)]
    )
    assert len(calls) == flow.steps
    found["t_steps"] = torch.stack([args[2] for args, _ in calls])
    for step, (args, _) in enumerate(calls):
        found[f"x_after_step{step}"] = args[0][: len(lengths)].transpose(1, 2)
    (x, mu, t, *_), out = calls[0]
    found["mu"] = mu[: len(lengths)].transpose(1, 2)
    for branch in range(2):  # with guidance, then without
        rows = slice(branch * len(lengths), (branch + 1) * len(lengths))
        for part, tensor in (("x", x), ("mu", mu), ("out", out)):
            found[f"est{branch}.{part}"] = tensor[rows].transpose(1, 2)
        valid = torch.arange(x.shape[1]) < frames[:, None]
        found[f"est{branch}.mask"] = valid[:, None].float()
        found[f"est{branch}.t"] = t
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_golden_tensor(golden: GoldenSet, name: str) -> None:
    case, part = name.split(".", 1)
    have, want = run(case)[part], golden.tensors("decode")[name]
    if want.is_floating_point():
        assert_close(have, want)
    else:
        assert torch.equal(have, want)


@pytest.mark.parametrize("case", CASES)
def test_the_mel_is_zero_beyond_its_length(case: str) -> None:
    mels, lengths = run(case)["mel"], run(case)["mel_lengths"]
    for mel, padded, length in zip(mels, run(case)["flow_matching_mel"], lengths, strict=True):
        assert torch.equal(mel[:length], padded[:length])
        assert not mel[length:].any()


@pytest.mark.parametrize("case", CASES)
def test_two_calls_of_the_estimator_equal_one(golden: GoldenSet, case: str) -> None:
    tensors = golden.tensors("decode")
    mel, lengths = golden_model().audio_tokenizer.decode(
        tensors[f"{case}.codes"],
        tensors[f"{case}.bridge_length"],
        noise=tensors[f"{case}.z"].transpose(1, 2),
        options=FlowOptions(one_batch=False),
    )
    for row, want, length in zip(mel, tensors[f"{case}.flow_matching_mel"], lengths, strict=True):
        assert_close(row[:length], want[:length], ATOL)
