"""Linear layers in 16 bits on a CPU without 16-bit hardware: the same, rounded."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from omni.model.layers import linear as module
from omni.model.layers.linear import Linear, linear


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, on every CPU."""
    monkeypatch.setattr(module, "BLOCK", 100)
    monkeypatch.setattr(module, "_multiplies_halves", lambda: False)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(24,), (1, 1, 24), (3, 24), (2, 5, 24)])
@pytest.mark.parametrize("bias", [False, True])
def test_the_product_is_the_exact_one_rounded(
    dtype: torch.dtype, shape: tuple[int, ...], bias: bool
) -> None:
    layer = Linear(24, 37, bias=bias, dtype=dtype)
    x = torch.randn(shape, dtype=dtype)
    with torch.inference_mode():
        found = layer(x)
        product = F.linear(x.double(), layer.weight.double())
        exact = product + layer.bias.double() if bias else product
    assert found.shape == exact.shape
    assert found.dtype == dtype
    rounded = exact.abs()
    if bias and x.numel() == 24:  # one row: the product is rounded, then the sum
        rounded = rounded + product.abs()
    # half a unit in the last place, and a hair for the order of the sums in float32
    allowed = 0.51 * torch.finfo(dtype).eps * rounded + 2 * torch.finfo(dtype).tiny
    assert ((found.double() - exact).abs() <= allowed).all()


def test_all_else_is_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(module.torch, "mv", lambda *_: calls.append("row"))
    monkeypatch.setattr(module, "_widened", lambda *_: calls.append("rows"))
    layer = Linear(8, 8, dtype=torch.bfloat16)
    assert linear(torch.zeros(2, 8, dtype=torch.bfloat16), layer.weight).requires_grad
    with torch.inference_mode():
        linear(torch.zeros(2, 8), layer.weight.float())
        monkeypatch.setattr(module, "_multiplies_halves", lambda: True)
        layer(torch.zeros(2, 8, dtype=torch.bfloat16))
    assert not calls
