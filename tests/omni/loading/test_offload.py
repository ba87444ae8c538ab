"""A plan carried out on a small model computes what the model computes without it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.speed.random_model import load_random
from omni.loading.load import LoadedModel
from omni.loading.offload import (
    carry_out,
    device_map,
    drop_unused,
    look_up_on_host,
    onload_to_run,
    rounded_rows,
)
from omni.loading.plans import PLANS, Plan, component_of
from omni.media.image import ImagePatches

CPU = torch.device("cpu")


@pytest.fixture
def loaded() -> LoadedModel:
    return load_random("nano", "cpu", "float32")


def outputs(loaded: LoadedModel) -> list[torch.Tensor]:
    """What hearing, seeing, reading and speaking give."""
    model, sizes = loaded.model, loaded.config.audio.codebook_sizes
    random = torch.Generator().manual_seed(3)
    mel = torch.randn(128, 200, generator=random)
    patches = torch.randn(16, loaded.config.visual.patch_features, generator=random)
    codes = torch.stack([torch.randint(size, (5,), generator=random) for size in sizes], dim=1)
    noise = torch.randn(1, 19, loaded.config.flow.in_channels, generator=random)
    with torch.inference_mode():
        embeds = model.embed(torch.tensor([[5, 6, 7, 8]]))
        return [
            *model.audio_tokenizer.encode([mel]),
            model.encode_images([ImagePatches(patches, (4, 4))]),
            model.hidden(embeds),
            model.audio_tokenizer.decode(codes, noise=noise)[0],
        ]


def test_offloaded_parts_compute_the_same(loaded: LoadedModel) -> None:
    before = outputs(loaded)
    carry_out(loaded.model, Plan(offload=True), "cpu")
    for old, new in zip(before, outputs(loaded), strict=True):
        assert torch.equal(old, new)


def test_nothing_that_runs_reads_what_is_dropped(loaded: LoadedModel) -> None:
    before = outputs(loaded)
    unused = {
        n: t.nbytes for n, t in loaded.model.state_dict().items() if component_of(n) == "unused"
    }
    assert drop_unused(loaded.model) == sum(unused.values()) > 0
    on_meta = {n for n, t in loaded.model.state_dict().items() if t.is_meta}
    assert on_meta == set(unused)
    for old, new in zip(before, outputs(loaded), strict=True):
        assert torch.equal(old, new)


def test_what_steps_read_stays_on_one_device(loaded: LoadedModel) -> None:
    """Steps are captured as graphs where all that they run is on one device."""
    carry_out(loaded.model, Plan(offload=True), "cpu")
    core = loaded.model.model
    for part in (core.layers, core.norm, core.audio_embed_layers, loaded.model.audio_head):
        assert {parameter.device for parameter in part.parameters()} == {CPU}


def test_an_offloaded_layer_is_on_the_device_while_it_runs_and_on_the_host_after() -> None:
    layer = nn.Linear(3, 3)
    places: list[torch.device] = []
    layer.register_forward_pre_hook(lambda m, x: places.append(m.weight.device))
    onload_to_run(layer, torch.device("meta"))
    layer.register_forward_pre_hook(lambda m, x: places.append(m.weight.device))
    weights = layer.weight.data
    result = layer(torch.ones(2, 3))
    assert [place.type for place in places] == ["cpu", "meta"]
    assert result.is_meta
    assert layer.weight.data.data_ptr() == weights.data_ptr()
    layer(torch.ones(2, 3))
    assert layer.weight.device == CPU


def test_an_offloaded_layer_is_on_the_host_after_its_work_has_failed() -> None:
    layer = nn.Linear(3, 3)
    onload_to_run(layer, torch.device("meta"))
    with pytest.raises(RuntimeError):
        layer(torch.ones(2, 5))
    assert layer.weight.device == CPU


def test_a_table_on_the_host_serves_rows_on_the_device() -> None:
    table = nn.Embedding(4, 2)
    look_up_on_host(table, torch.device("meta"))
    assert table(torch.tensor([1, 2])).is_meta
    assert table.weight.device == CPU


def test_the_8_bit_head_is_near_the_precise_one() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(256, 512, bias=False)
    x = torch.randn(4, 256)
    with torch.inference_mode():
        precise, rounded = linear(x), rounded_rows(linear, CPU)(x)
    error = (rounded - precise).norm() / precise.norm()
    assert 0 < error < 0.02
    assert rounded.argmax(-1).equal(precise.argmax(-1))


def test_places_before_the_plan_is_carried_out() -> None:
    assert device_map(Plan(), "cuda:0") == {"": "cuda:0"}
    assert device_map(PLANS[-1], "cpu") == {"": "cpu"}
    placed = device_map(PLANS[-1], "cuda:0")
    assert placed.pop("") == "cuda:0"
    assert set(placed) == {*PLANS[-1].host_modules, "lm_head"}
    assert set(placed.values()) == {"cpu"}
