"""The audio head against the golden data, all positions at once and one at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.support.golden_model import assert_close, golden_model, names_of
from tests.support.golden_set import GoldenSet

NAMES = names_of("audio_head", "codes", "hidden")


@pytest.fixture(scope="module")
def given(golden: GoldenSet) -> tuple[Tensor, Tensor]:
    tensors = golden.tensors("audio_head")
    return tensors["hidden"], tensors["codes"]


@pytest.fixture(scope="module")
def computed(given: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """The full pass, under the golden names."""
    head = golden_model().audio_head
    found: dict[str, Tensor] = {}

    def keep(name: str):  # type: ignore[no-untyped-def]
        return lambda module, inputs, result: found.__setitem__(name, result)

    stages = {f"layer{index}_out": layer for index, layer in enumerate(head.transformer_layers)}
    stages["headnorm_out"] = head.headnorm
    hooks = [stage.register_forward_hook(keep(name)) for name, stage in stages.items()]
    hooks.append(
        head.transformer_layers[0].register_forward_pre_hook(
            lambda module, inputs: found.__setitem__("layer_in", inputs[0])
        )
    )
    with torch.inference_mode():
        logits = head(*given)
    for hook in hooks:
        hook.remove()
    return found | {f"logits{index}": value for index, value in enumerate(logits)}


@pytest.mark.parametrize("name", NAMES)
def test_full_pass(golden: GoldenSet, computed: dict[str, Tensor], name: str) -> None:
    assert_close(computed[name], golden.tensors("audio_head")[name])


def forced(hidden: Tensor, codes: Tensor) -> list[Tensor]:
    """The logits of the incremental pass, position by position, with ``codes`` drawn."""
    seen: list[Tensor] = []

    def teacher(index: int, logits: Tensor) -> Tensor:
        assert index == len(seen)
        seen.append(logits)
        return codes[:, index]

    with torch.inference_mode():
        assert torch.equal(golden_model().audio_head.generate(hidden, teacher), codes)
    return seen


@pytest.mark.parametrize("together", [True, False], ids=["all frames", "each frame"])
def test_incremental_pass(golden: GoldenSet, given: tuple[Tensor, Tensor], together: bool) -> None:
    """The golden logits, the end class cut after the first codebook.

    A single frame, as in generation, takes another matrix product on the CPU than several do.
    """
    frames = len(given[0])
    sizes = frames if together else 1
    parts = zip(*(tensor.split(sizes) for tensor in given), strict=True)
    logits = [torch.cat(some) for some in zip(*(forced(*part) for part in parts), strict=True)]
    for index, have in enumerate(logits):
        want = golden.tensors("audio_head")[f"logits{index}"]
        assert_close(have, want if index == 0 else want[:, :-1])


def test_logits_depend_on_earlier_codes_only(given: tuple[Tensor, Tensor]) -> None:
    hidden, codes = given
    head = golden_model().audio_head
    with torch.inference_mode():
        before = head(hidden, codes)
        for index in range(codes.shape[1]):
            changed = codes.clone()
            changed[:, index] = (changed[:, index] + 1) % head.heads[index].out_features
            after = head(hidden, changed)
            for earlier in range(index + 1):
                assert torch.equal(after[earlier], before[earlier])
            if index + 1 < codes.shape[1]:
                assert not torch.allclose(after[index + 1], before[index + 1])
