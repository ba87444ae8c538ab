"""How much a model needs and where its parts go, on GPUs that are only pretended."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from omni import devices
from omni.config import OmniConfig
from omni.errors import ResourceError
from omni.loading import placement
from omni.loading.checkpoint import Checkpoint
from omni.loading.memory import component_bytes, needed
from omni.loading.placement import candidates, choose_model, place, spread
from omni.loading.plans import PLANS, Plan
from omni.settings import NANO, PUBLISHED_MODEL
from tests.support.checkpoints import write_checkpoint

GB = 10**9


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return Checkpoint(write_checkpoint(tmp_path_factory.mktemp("c"), {"num_hidden_layers": 6}), "x")


@pytest.mark.parametrize(
    ("device", "memory", "quantization", "expected"),
    [
        ("cpu", 500, "none", NANO),
        ("cuda", 16, "none", NANO),
        ("cuda", 24, "none", PUBLISHED_MODEL),
        ("cuda", 16, "4bit", PUBLISHED_MODEL),
        ("cuda", 9, "4bit", NANO),
        ("cuda", 13, "8bit", NANO),
        ("cuda", 15, "8bit", PUBLISHED_MODEL),
        ("cuda", 11, "auto", PUBLISHED_MODEL),
        ("cuda", 9, "auto", NANO),
        ("mps", 48, "none", PUBLISHED_MODEL),
        ("mps", 20, "auto", NANO),
        ("mps", 12, "none", NANO),
    ],
)
def test_the_model_of_auto(
    monkeypatch: pytest.MonkeyPatch, device: str, memory: int, quantization: str, expected: str
) -> None:
    monkeypatch.setattr(devices, "total_bytes", lambda device: memory * GB)
    assert choose_model("auto", quantization, device) == expected  # type: ignore[arg-type]
    assert choose_model("some/model", quantization, device) == "some/model"  # type: ignore[arg-type]


def gpus(monkeypatch: pytest.MonkeyPatch, *free: int) -> None:
    each = {f"cuda:{index}": size for index, size in enumerate(free)}
    monkeypatch.setattr(devices, "cuda_devices", lambda device: list(range(len(free))))
    monkeypatch.setattr(devices, "free_bytes", lambda device: each.get(device, sum(free)))


@pytest.mark.parametrize("layers", [1, 7, 28, 29])
@pytest.mark.parametrize("free", [(100, 100), (100, 20, 60), (60, 100), (90, 8, 8, 8, 8)])
def test_spreads_are_complete_in_order_and_fit(layers: int, free: tuple[int, ...]) -> None:
    names = {f"cuda:{index}": size for index, size in enumerate(free)}
    each, first = 3, 20
    placed = spread(layers, each, first, names)
    assert len(placed) == layers + 1
    used = dict.fromkeys(names, 0)
    used[placed[""]] += first
    order = [placed[f"model.layers.{layer}"] for layer in range(layers)]
    for name in order:
        used[name] += each
    assert all(used[name] <= size for name, size in names.items())
    assert sum(a != b for a, b in pairwise(order)) < len(free)


def test_a_spread_that_does_not_fit() -> None:
    for free in ({"cuda:0": 19, "cuda:1": 19}, {"cuda:0": 40, "cuda:1": 40}):
        with pytest.raises(ResourceError) as caught:
            spread(28, 3, 20, free)
        assert caught.value.code == "memory-short" and "all GPUs" in str(caught.value)


def test_the_published_sizes() -> None:
    need = placement.published_need(Plan())
    files = 2 * 11.02e9  # 16 bits a value, of which 0.1 billion are never read
    assert 0.98 * files < need.weights < files


def chosen(checkpoint: Checkpoint, device: str, quantization: str = "auto", offload=None):
    config = OmniConfig.from_dict(checkpoint.config)
    return place(checkpoint, config, device, torch.bfloat16, 1000, quantization, offload)


def test_one_device(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "free_bytes", lambda device: 10 * GB)
    monkeypatch.setattr(devices, "cuda_devices", lambda device: [1])
    for device in ("cpu", "mps", "cuda:1"):
        found = chosen(checkpoint, device, "none")
        assert (found.places, found.device) == ({"": device}, device)


def test_several_gpus_of_which_one_is_enough(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(monkeypatch, GB, 5 * GB, 2 * GB)
    found = chosen(checkpoint, "cuda", "none")
    assert (found.places, found.device) == ({"": "cuda:1"}, "cuda:1")


def test_several_gpus_together(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    config = checkpoint.config
    shapes = {name: info.shape for name, info in checkpoint.tensors.items()}
    need = needed(shapes, config, Plan(), 2, 1000, keep_unused=True)
    inside = component_bytes(shapes, Plan(), 2)["layers"] + need.cache
    rest = need.device - inside
    gpus(monkeypatch, rest + inside // 2, inside)
    found = chosen(checkpoint, "cuda", "none", offload=False)
    assert found.places[""] == "cuda:0", "the larger one has what is not spread"
    layers = [found.places[f"model.layers.{layer}"] for layer in range(6)]
    assert layers == ["cuda:0"] * 2 + ["cuda:1"] * 4
    assert (found.device, found.need) == ("cuda", need.device)
    assert found.free == rest + inside // 2 + inside
    gpus(monkeypatch, rest // 2, inside)
    with pytest.raises(ResourceError):
        chosen(checkpoint, "cuda", "none", offload=False)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_auto_takes_the_best_plan_that_fits(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, plan: Plan
) -> None:
    config = OmniConfig.from_dict(checkpoint.config)
    shapes = {name: info.shape for name, info in checkpoint.tensors.items()}
    need = needed(shapes, config.to_dict(), plan, 2, 1000).device
    gpus(monkeypatch, need)
    found = chosen(checkpoint, "cuda")
    assert (found.plan, found.device, found.need, found.free) == (plan, "cuda:0", need, need)
    assert plan.name in found.sentence and "cuda:0" in found.sentence
    smallest = plan == PLANS[-1]
    gpus(monkeypatch, need - 1)
    if smallest:
        with pytest.raises(ResourceError):
            chosen(checkpoint, "cuda")
    else:
        assert PLANS.index(chosen(checkpoint, "cuda").plan) > PLANS.index(plan)


def test_what_is_asked_for_is_what_is_taken(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(monkeypatch, 100 * GB)
    assert chosen(checkpoint, "cuda").plan == Plan()
    for quantization in ("none", "8bit", "4bit"):
        assert chosen(checkpoint, "cuda", quantization).plan.quantization == quantization
        for offload in (True, False):
            plan = chosen(checkpoint, "cuda", quantization, offload).plan
            assert (plan.quantization, plan.offload) == (quantization, offload)
    assert chosen(checkpoint, "cpu").plan == Plan()
    assert chosen(checkpoint, "cpu", "4bit").plan == Plan("4bit")


def test_several_gpus_spare_a_quantization(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = OmniConfig.from_dict(checkpoint.config)
    shapes = {name: info.shape for name, info in checkpoint.tensors.items()}
    whole = needed(shapes, config.to_dict(), Plan(), 2, 1000).device
    gpus(monkeypatch, whole - 1, whole - 1)
    found = chosen(checkpoint, "cuda")
    assert found.plan == Plan() and found.device in ("cuda", "cuda:0")


def test_without_bitsandbytes_nothing_is_quantized(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placement, "runs_here", lambda device: False)
    gpus(monkeypatch, 1)
    with pytest.raises(ResourceError):
        chosen(checkpoint, "cuda")
    assert {plan.quantization for plan in candidates("auto", "cuda")} == {"none"}
