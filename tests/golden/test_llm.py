"""The language model against the golden data: inputs, layers, cache, states and logits."""

from __future__ import annotations

from functools import cache
from itertools import chain

import pytest
import soundfile
import torch
from torch import Tensor
from transformers import DynamicCache

from omni.media.audio import audio_pieces, read_waveform
from tests.support.golden_model import (
    ATOL,
    assert_close,
    golden_model,
    names_of,
    pictures,
    segments_of,
)
from tests.support.golden_set import GoldenSet, golden_set

INPUTS = ("input_ids", "position_ids", "attention_mask", "audios_tokens")
NAMES = names_of("llm", *INPUTS)
CASES = list(golden_set().json("llm")["cases"])
SPOKEN = [name for name in CASES if golden_set().json("llm")["cases"][name]["bridge_length"]]
CODE_MARGIN = 1e-3  # golden README.json: codes are exact where the margin is greater


@cache
def tensors() -> dict[str, Tensor]:
    return golden_set().tensors("llm")


def media_of(cases: list[str]) -> dict[str, Tensor | None]:
    """The media arguments of ``embed`` for golden prompts, by our own tower from golden patches."""
    golden = golden_set()
    known = {
        entry["file"]: pictures(golden)[key]
        for key, entry in golden.json("visual").items()
        if isinstance(entry, dict) and "file" in entry
    }
    segments = [
        segment
        for case in cases
        for segment in segments_of(golden.json("llm")["cases"][case]["prompt"])
    ]
    images = [image for kind, file in segments if kind == "img" for image in known[file]]
    frames = [image for kind, file in segments if kind == "video" for image in known[file]]
    codes = [tensors()[key] for case in cases if (key := f"{case}.audios_tokens") in tensors()]
    return {
        "audio_codes": torch.cat(codes) if codes else None,
        "image_rows": golden_model().encode_images(images),
        "video_rows": golden_model().encode_images(frames),
    }


@cache
@torch.inference_mode()
def run(case: str) -> dict[str, Tensor]:
    """A whole prompt (or the batch), every stage under its golden name."""
    model = golden_model()
    given, layers = tensors(), model.model.layers
    prompts = golden_set().json("llm")["batch"]["prompts"] if case == "batch" else [case]
    found: dict[str, Tensor] = {}

    def keep(name: str):  # type: ignore[no-untyped-def]
        return lambda module, inputs, result: found.__setitem__(name, result)

    hooks = [
        layer.register_forward_hook(keep(f"layer{index}_out")) for index, layer in enumerate(layers)
    ]
    found["inputs_embeds"] = model.embed(given[f"{case}.input_ids"], **media_of(prompts))
    kept = DynamicCache(config=model.config)
    output = model(
        inputs_embeds=found["inputs_embeds"],
        attention_mask=given.get(f"{case}.attention_mask"),
        position_ids=given[f"{case}.position_ids"],
        past_key_values=kept,
    )
    for hook in hooks:
        hook.remove()
    assert output.past_key_values is kept
    found["logits"], found["last_hidden"] = output.logits, output.last_hidden_state
    found["logits_last8"] = output.logits[:, -8:]
    for index, layer in enumerate(kept.layers):
        found[f"past_key{index}"], found[f"past_value{index}"] = layer.keys, layer.values
    return found


@torch.inference_mode()
def logits_incremental(case: str) -> Tensor:
    """Prefill up to the golden cut, then one token at a time, positions by default."""
    model = golden_model()
    cut = golden_set().json("llm")["incremental_cut"]
    embeds = run(case)["inputs_embeds"]
    kept = DynamicCache(config=model.config)
    parts = [embeds[:, :cut], *embeds[:, cut:].split(1, dim=1)]
    logits = [model(inputs_embeds=part, past_key_values=kept).logits for part in parts]
    return torch.cat(logits, dim=1)


@torch.inference_mode()
def audio_step(what: str) -> Tensor:
    """One more step after the prompt ``text``, with one frame of audio codes as input."""
    model = golden_model()
    kept = DynamicCache(config=model.config)
    model.hidden(run("text")["inputs_embeds"], kept)
    row = model.embed_codes(tensors()["audio_step.audios_tokens"])
    output = model(inputs_embeds=row[None], past_key_values=kept)
    # The published "audios_emb_for_infer" is the state that the audio head reads.
    return output.logits if what == "logits" else output.last_hidden_state[0]


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    case, what = name.rsplit(".", 1)
    want = tensors()[name]
    if case == "audio_step":
        assert_close(audio_step(what), want)
    elif what == "logits_incremental":
        assert_close(logits_incremental(case), want)
    else:
        have = run(case)[what]
        assert torch.isfinite(have).all()
        if case == "batch":  # the rows of padding mean nothing
            real = tensors()["batch.attention_mask"][:, -want.shape[1] :].bool()
            have, want = have[real], want[real]
        assert_close(have, want)


@pytest.mark.parametrize("case", CASES)
def test_media_rows_fill_their_pads_exactly(golden: GoldenSet, case: str) -> None:
    entry = golden.json("llm")["cases"][case]
    media = media_of([case])
    codes, images, frames = (media[key] for key in ("audio_codes", "image_rows", "video_rows"))
    assert (0 if codes is None else len(codes)) == sum(entry["bridge_length"] or [])
    assert images is not None and len(images) == sum(entry["patch_nums"] or [])
    assert frames is not None and len(frames) == sum(entry["videos_patch_nums"] or [])
    assert run(case)["inputs_embeds"].shape[1] == entry["length"]


@pytest.mark.parametrize("case", [*CASES, "batch"])
@torch.inference_mode()
def test_positions_may_start_anywhere(case: str) -> None:
    """The published loop counts from 1, by default we count from 0: rotations are relative."""
    mask = tensors().get(f"{case}.attention_mask")
    states = golden_model().hidden(run(case)["inputs_embeds"], attention_mask=mask)
    real = slice(None) if mask is None else mask.bool()
    assert_close(states[real], tensors()[f"{case}.last_hidden"][real])


@pytest.mark.parametrize("case", SPOKEN)
@torch.inference_mode()
def test_recordings_become_the_golden_codes(golden: GoldenSet, case: str) -> None:
    """Recordings at the model's own rate (others pass another resampler than the published)."""
    model = golden_model()
    rate = model.config.audio.sampling_rate
    margins = {
        entry["file"]: golden.tensors("audio")[f"{key}.code_margin"]
        for key, entry in golden.json("audio")["waves"].items()
    }
    prompt = golden.json("llm")["cases"][case]["prompt"]
    files = [file for kind, file in segments_of(prompt) if kind in ("audio", "audiogen")]
    pieces = [audio_pieces(read_waveform(golden.input(file)), model.config.audio) for file in files]
    codes = iter(model.encode_audio([*chain(*pieces)], batch_padding=True))
    want = tensors()[f"{case}.audios_tokens"]
    compared = 0
    for file, some in zip(files, pieces, strict=True):
        have = torch.cat([next(codes) for _ in some])
        golden_codes, want = want[: len(have)], want[len(have) :]
        if soundfile.info(golden.input(file)).samplerate != rate:
            continue
        sure = (margins[file] > CODE_MARGIN).all(dim=1)
        assert torch.equal(have[sure], golden_codes[sure].long())
        compared += int(sure.sum())
    assert compared and not len(want)


def test_incremental_equals_full_pass() -> None:
    for case in CASES:
        if golden_set().json("llm")["incremental_cut"] < run(case)["logits"].shape[1]:
            assert_close(logits_incremental(case), run(case)["logits"], ATOL)
