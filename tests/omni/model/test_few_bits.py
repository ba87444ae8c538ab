"""Few bits on the CPU: products are those of the widened weights; matrices rounded by pieces."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

bnb = pytest.importorskip("bitsandbytes")

from omni.model.layers import few_bits, rounding  # noqa: E402
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


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("columns", [128, 96, 31])
def test_four_bits_by_pieces_are_bitsandbytes_own(
    columns: int, dtype: torch.dtype, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounding, "PIECE", 1000)  # several, the last of them shorter
    weight = (torch.randn(99, columns) * torch.randn(99, 1).exp()).to(dtype)
    weight[3:9] = 0
    weight[20, ::7] = 1e-30
    asked = (weight, 64, kind, torch.uint8)
    want = torch.ops.bitsandbytes.quantize_4bit(*asked)
    for one, other in zip(rounding.four_bits(*asked), want, strict=True):
        assert one.dtype == other.dtype and torch.equal(one, other)
    assert rounding.is_known()


def test_other_codes_than_those_that_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bitsandbytes that rounds otherwise is asked itself, piece by piece."""
    monkeypatch.setattr(rounding, "is_known", lambda: False)
    monkeypatch.setattr(rounding, "_nf4", None)
    asked = (torch.randn(64, 128), 64, "nf4", torch.uint8)
    want = torch.ops.bitsandbytes.quantize_4bit(*asked)
    assert all(map(torch.equal, rounding.four_bits(*asked), want))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bits", [4, 8])
def test_a_layer_is_rounded_to_the_same_bits_by_pieces(
    bits: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounding, "PIECE", 512)
    monkeypatch.setattr(rounding, "LOOK_EVERY", 1000)
    torch.manual_seed(0)
    layers = []
    looks: list[int] = []
    for context in (nullcontext(), rounding.ByPieces(lambda: looks.append(1))):
        torch.manual_seed(0)
        with context:
            layers.append(four(False, dtype) if bits == 4 else eight(False, dtype))
    one, other = layers
    assert len(looks) > 8, "inside one matrix"
    assert torch.equal(one.weight.data, other.weight.data)
    if bits == 8:
        assert torch.equal(one.weight.SCB, other.weight.SCB)
        return
    have, want = other.weight.quant_state, one.weight.quant_state
    assert have.as_dict(packed=True).keys() == want.as_dict(packed=True).keys()
    for name, tensor in want.as_dict(packed=True).items():
        assert torch.equal(tensor, have.as_dict(packed=True)[name]), name


def test_a_load_in_few_bits_prints_nothing() -> None:
    """bitsandbytes tells of packages that nobody needs when it is imported."""
    script = "from omni.loading import load\nimport omni.model.layers.rounding"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert (done.stdout, done.stderr) == ("", "")
