"""4 bits laid out while loading are those that bitsandbytes would lay out at the first use."""

from __future__ import annotations

import copy
from typing import Any

import bitsandbytes as bnb
import pytest
import torch
from bitsandbytes import functional
from torch import nn

from omni.model.layers import cpu_layout

COLUMNS = 192


def layer(rows: int, dtype: torch.dtype, nested: bool, storage: torch.dtype = torch.uint8) -> Any:
    linear = bnb.nn.Linear4bit(
        COLUMNS, rows, compute_dtype=dtype, compress_statistics=nested, quant_type="nf4",
        quant_storage=storage,
    )  # fmt: skip
    weight = torch.randn(rows, COLUMNS, generator=torch.Generator().manual_seed(rows)).to(dtype)
    linear.weight = bnb.nn.Params4bit(
        weight, requires_grad=False, compress_statistics=nested, quant_type="nf4",
        quant_storage=storage,
    )  # fmt: skip
    return linear.to("cpu").requires_grad_(False).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("storage", [torch.uint8, torch.bfloat16])
@pytest.mark.parametrize("rows", [32, 96])
def test_equal_to_bitsandbytes(
    rows: int, storage: torch.dtype, nested: bool, dtype: torch.dtype
) -> None:
    one = layer(rows, dtype, nested, storage)
    packed, state = functional._convert_weight_packed_for_cpu(
        one.weight.data.clone(), copy.deepcopy(one.weight.quant_state)
    )
    assert cpu_layout.is_known()
    cpu_layout.lay_out(one)
    assert torch.equal(one.weight.data, packed)
    ours, theirs = vars(one.weight.quant_state), vars(state)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        same = torch.equal(ours[name], value) if isinstance(value, torch.Tensor) else None
        assert ours[name] == value if same is None else same, name


def test_the_product_is_that_of_a_layer_that_was_not_laid_out() -> None:
    one, other = layer(64, torch.bfloat16, True), layer(64, torch.bfloat16, True)
    other.bias = one.bias
    one.support_avx512bf16_for_cpu = functional.has_avx512bf16()
    x = torch.randn(3, COLUMNS, generator=torch.Generator().manual_seed(1)).bfloat16()
    for waiting in cpu_layout.waiting(nn.Sequential(one)):
        cpu_layout.lay_out(waiting)
    assert not cpu_layout.waiting(nn.Sequential(one))
    with torch.inference_mode():
        assert torch.equal(one(x), other(x))


def test_only_what_bitsandbytes_would_lay_out_waits() -> None:
    one = layer(32, torch.float32, True)
    one.support_avx512bf16_for_cpu = True
    plain = nn.Linear(4, 4)
    assert cpu_layout.waiting(nn.Sequential(plain, one)) == [one]
    one.support_avx512bf16_for_cpu = False
    assert cpu_layout.waiting(nn.Sequential(plain, one)) == []


def test_sizes_that_the_layout_has_no_room_for() -> None:
    one = layer(40, torch.float32, True)
    one.support_avx512bf16_for_cpu = True
    stored = one.weight.data.clone()
    cpu_layout.lay_out(one)
    assert torch.equal(one.weight.data, stored)
    assert not cpu_layout.waiting(nn.Sequential(one))
    with torch.inference_mode():
        assert one(torch.randn(2, COLUMNS)).isfinite().all()


def test_other_layouts_are_left_to_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that lays out otherwise is followed."""
    real = functional._convert_weight_packed_for_cpu

    def other(stored: Any, state: Any) -> Any:
        packed, state = real(stored, state)
        return packed + 1, state

    cpu_layout.is_known.cache_clear()
    monkeypatch.setattr(functional, "_convert_weight_packed_for_cpu", other)
    assert not cpu_layout.is_known()
    one = layer(32, torch.float32, True)
    want, _ = other(one.weight.data.clone(), copy.deepcopy(one.weight.quant_state))
    cpu_layout.lay_out(one)
    assert torch.equal(one.weight.data, want)
    monkeypatch.undo()
    cpu_layout.is_known.cache_clear()
    assert cpu_layout.is_known()
