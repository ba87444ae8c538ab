"""Few-bit products on the CPU: the product of the widened weights, rounded; for every layout."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

bnb = pytest.importorskip("bitsandbytes")

from omni.model.layers import few_bits  # noqa: E402
from omni.model.layers.linear import use_fast_products  # noqa: E402

SHAPES = [(128,), (1, 1, 128), (3, 128), (2, 9, 128)]
INPUTS, OUTPUTS = 128, 96


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, the last of them shorter."""
    monkeypatch.setattr(few_bits, "BLOCK", 40 * INPUTS)


@pytest.fixture(params=[True, False], ids=["multiplies bfloat16", "widens to float32"])
def hardware(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """A CPU of each kind."""
    halves = request.param
    monkeypatch.setattr(few_bits, "_multiplies", lambda dtype: dtype == torch.float32 or halves)
    return halves


def eight(bias: bool, dtype: torch.dtype) -> Any:
    layer = bnb.nn.Linear8bitLt(INPUTS, OUTPUTS, bias, has_fp16_weights=False, threshold=6.0)
    weight = torch.randn(OUTPUTS, INPUTS) / INPUTS**0.5
    layer.weight = bnb.nn.Int8Params(weight.to(dtype), requires_grad=False)
    layer = layer.to("cpu").eval()
    if bias:
        layer.bias.data = torch.randn(OUTPUTS).to(dtype)
    return layer


def four(bias: bool, dtype: torch.dtype, nested: bool = True, inputs: int = INPUTS) -> Any:
    layer = bnb.nn.Linear4bit(inputs, OUTPUTS, bias, dtype, nested, "nf4")
    weight = torch.randn(OUTPUTS, inputs) / inputs**0.5
    layer.weight = bnb.nn.Params4bit(
        weight.to(dtype), requires_grad=False, quant_type="nf4", compress_statistics=nested
    )
    layer = layer.to("cpu").eval()
    layer.support_avx512bf16_for_cpu = False  # as on a CPU without bfloat16
    if bias:
        layer.bias.data = torch.randn(OUTPUTS).to(dtype)
    return layer


def weights_of(layer: Any) -> torch.Tensor:
    """The matrix that the stored bits stand for, float64."""
    if isinstance(layer, bnb.nn.Linear4bit):
        return bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state).double()
    return layer.weight.CB.double() * layer.weight.SCB.double()[:, None] / 127


def check(layer: Any, x: torch.Tensor) -> None:
    """The layer gives the product of its widened weights; wider than one rounding of each step."""
    weight = weights_of(layer)
    exact = F.linear(x.double(), weight)
    if layer.bias is not None:
        exact += layer.bias.double()
    use_fast_products(nn.Sequential(layer))
    with torch.inference_mode():
        found = layer(x)
    assert found.shape == exact.shape and found.dtype == x.dtype
    error = (found.double() - exact).norm() / exact.norm()
    # The product and the sum are rounded, in 4 bits and 16 the widened weights too.
    assert error < 2 * torch.finfo(x.dtype).eps + 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [False, True])
def test_eight_bits(hardware: bool, dtype: torch.dtype, shape: tuple[int, ...], bias: bool) -> None:
    check(eight(bias, dtype), torch.randn(shape, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_four_bits(
    hardware: bool, dtype: torch.dtype, shape: tuple[int, ...], bias: bool, nested: bool
) -> None:
    check(four(bias, dtype, nested), torch.randn(shape, dtype=dtype))


def test_four_bits_whose_rows_share_a_scale() -> None:
    check(four(True, torch.bfloat16, inputs=96), torch.randn(5, 96, dtype=torch.bfloat16))


def test_eight_bits_after_a_call_of_the_library() -> None:
    """Its forward keeps the weights elsewhere."""
    layer, x = eight(True, torch.bfloat16), torch.randn(7, INPUTS, dtype=torch.bfloat16)
    weight = weights_of(layer)
    layer(x)
    use_fast_products(nn.Sequential(layer))
    with torch.inference_mode():
        found = layer(x)
    exact = F.linear(x.double(), weight, layer.bias.double())
    assert (found.double() - exact).norm() / exact.norm() < 0.01


def test_what_is_laid_out_for_the_librarys_own_product_stays_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(few_bits, "four_bits", lambda *_: calls.append("ours"))
    layer, x = four(False, torch.bfloat16), torch.randn(5, INPUTS, dtype=torch.bfloat16)
    layer.support_avx512bf16_for_cpu = bnb.nn.modules.has_avx512bf16()
    use_fast_products(nn.Sequential(layer))
    with torch.inference_mode():
        layer(x)
    assert bool(calls) != bool(layer.support_avx512bf16_for_cpu)


def test_learning_is_the_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients flow through bitsandbytes' own product."""
    monkeypatch.setattr(few_bits, "_by_blocks", lambda *_: pytest.fail("no gradient here"))
    layer = four(False, torch.float32)
    use_fast_products(nn.Sequential(layer))
    x = torch.randn(5, INPUTS, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
