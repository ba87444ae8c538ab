"""What few bits save and cost, part by part; and what the plans need.

    python -m benchmarks.quantization
    python -m benchmarks.quantization --products

Memory is counted from the shapes of the published model. Errors are measured with random weights
of unit gain, by bitsandbytes' own layers where a part has linear layers (the position-wise weights
of the audio head, which it cannot replace, are rounded the same way and multiplied out): a model
of the same architecture with smaller sizes, and one block of the published size. Random weights
have no outliers; a trained model's errors differ, their order does not. --products: how long
products take on this CPU instead, at the published layers' sizes.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import bitsandbytes as bnb
import torch
from torch import Tensor, nn

from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Row
from benchmarks.speed.few_bit_products import product_rows
from benchmarks.speed.random_model import RandomWeights, load_random
from benchmarks.speed.wave import relative_error, some_codes, some_noise
from omni.config import OmniConfig
from omni.loading.load import LoadedModel
from omni.loading.memory import PUBLISHED_VOCODER_BYTES, component_bytes, needed
from omni.loading.plans import PLANS, Component, Plan
from omni.loading.quantization import WEIGHT_BYTES
from omni.media.image import ImagePatches
from omni.model.audio.flow_unet import TimeEmbedding
from omni.model.audio_head import PositionWise
from omni.model.layers.rotary import rotation
from omni.model.llm import DecoderLayer
from omni.model.omni import OmniForCausalLM

Bits = Literal[8, 4]
BITS: tuple[Bits, ...] = (8, 4)
OUTLIERS = 6.0  # activations above it are multiplied in full precision, as LLM.int8() does
CPU_BLOCK = 32  # outputs of a layer in 4 bits
SPOKEN_TURN = 1024  # positions of 30 s heard and 30 s spoken
POSITIONS = 64


@dataclass(frozen=True)
class Probe:
    """How a part's error shows: its modules, and what is computed with them."""

    part: Component
    modules: tuple[str, ...]
    run: Callable[[LoadedModel], Tensor]
    what: str


def rounded(weight: Tensor, bits: Bits) -> Tensor:
    """``weight`` (out, in) rounded to few bits and multiplied out again."""
    if bits == 8:
        scale = weight.abs().amax(1, keepdim=True) / 127
        return (weight / scale).round() * scale
    quantized, state = bnb.functional.quantize_4bit(
        weight.contiguous(), quant_type="nf4", compress_statistics=True
    )
    return bnb.functional.dequantize_4bit(quantized, state).to(weight.dtype)


def few_bits(linear: nn.Linear, bits: Bits) -> nn.Module:
    """bitsandbytes' layer for ``linear``."""
    sizes = linear.in_features, linear.out_features
    bias = linear.bias is not None
    layer: Any
    if bits == 8:
        layer = bnb.nn.Linear8bitLt(*sizes, bias, has_fp16_weights=False, threshold=OUTLIERS)
        layer.weight = bnb.nn.Int8Params(linear.weight.data, requires_grad=False)
    else:
        layer = bnb.nn.Linear4bit(*sizes, bias, linear.weight.dtype, quant_type="nf4")
        layer.weight = bnb.nn.Params4bit(linear.weight.data, requires_grad=False, quant_type="nf4")
        # On CPUs with 16-bit products the weights are laid out anew, in whole blocks alone.
        layer.support_avx512bf16_for_cpu &= linear.out_features % CPU_BLOCK == 0
    if bias:
        layer.bias = linear.bias
    return layer.to(linear.weight.device).eval()


def quantize(module: nn.Module, bits: Bits) -> nn.Module:
    """A copy of ``module`` with all its matrices in few bits."""
    if isinstance(module, nn.Linear):
        return few_bits(module, bits)
    module = copy.deepcopy(module)
    for child in list(module.modules()):
        if isinstance(child, TimeEmbedding):  # reads its weights' dtype
            continue
        for name, layer in list(child.named_children()):
            if isinstance(layer, nn.Linear):
                setattr(child, name, few_bits(layer, bits))
        if isinstance(child, PositionWise):
            child.weight.data = rounded(child.weight.data, bits)
    return module


def _text(loaded: LoadedModel) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    embeds = torch.randn(1, POSITIONS, loaded.config.hidden_size, generator=generator)
    return loaded.model.lm_head(loaded.model.hidden(embeds))[0]


def _pictures(loaded: LoadedModel) -> Tensor:
    generator = torch.Generator().manual_seed(6)
    features = loaded.config.visual.patch_features
    return loaded.model.encode_images(
        [ImagePatches(torch.randn(64, features, generator=generator), (8, 8))]
    )


def _latents(loaded: LoadedModel) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    mel = torch.randn(128, 400, generator=generator)
    tokenizer = loaded.model.audio_tokenizer
    return tokenizer.audio_bridge_model.latents(tokenizer.audio_model([mel])[0][None])[0]


def _codes(loaded: LoadedModel) -> Tensor:
    """Scores of the second codebook, whose input is the code before."""
    generator = torch.Generator().manual_seed(8)
    codes = some_codes(loaded, 4.0)
    hidden = torch.randn(len(codes), loaded.config.hidden_size, generator=generator)
    return loaded.model.audio_head(hidden, codes)[1]


def _mel(loaded: LoadedModel) -> Tensor:
    codes = some_codes(loaded, 2.0)
    tokenizer = loaded.model.audio_tokenizer
    frames = tokenizer.audio_decoder.dconv1.output_length(len(codes))
    return tokenizer.decode(codes, noise=some_noise(loaded, frames))[0][0]


AUDIO = "audio_tokenizer."
PROBES = (
    Probe("layers", ("model.layers",), _text, "text scores"),
    Probe("lm_head", ("lm_head",), _text, "text scores"),
    Probe("vision", ("model.visual_model", "model.visual_bridge_model"), _pictures, "rows"),
    Probe("audio_encoder", (f"{AUDIO}audio_model",), _latents, "vectors before the codebooks"),
    Probe("audio_head", ("audio_head",), _codes, "code scores"),
    Probe("audio_decoder", (f"{AUDIO}audio_decoder",), _mel, "mel"),
    Probe("flow", (f"{AUDIO}audio_flow_matching_decoder",), _mel, "mel"),
)


@torch.inference_mode()
def error_rows(loaded: LoadedModel) -> Iterator[Row]:
    """The relative L2 error of each part in 8 and in 4 bits, alone; and how many choices change."""
    for probe in PROBES:
        precise = probe.run(loaded)
        for bits in BITS:
            kept = {name: loaded.model.get_submodule(name) for name in probe.modules}
            for name, module in kept.items():
                _put(loaded.model, name, quantize(module, bits))
            result = probe.run(loaded)
            for name, module in kept.items():
                _put(loaded.model, name, module)
            name = f"{probe.part}.{bits}bit"
            yield Row(f"{name}.error", relative_error(result, precise), note=f"of the {probe.what}")
            if "scores" in probe.what:
                changed = (result.argmax(-1) != precise.argmax(-1)).float().mean().item()
                yield Row(f"{name}.changed", changed, note="share of likeliest choices")
            if probe.part == "audio_encoder":
                quantizer = loaded.model.audio_tokenizer.audio_bridge_model
                changes = quantizer.quantize(result) != quantizer.quantize(precise)
                yield Row(f"{name}.changed", changes[:, 0].float().mean().item(), note="codes, 1st")


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)


@torch.inference_mode()
def block_rows() -> Iterator[Row]:
    """One block of the language model at the published size: bytes held, and error."""
    config = OmniConfig(attn_implementation="sdpa")
    weights = RandomWeights()
    with torch.device("meta"):
        layer = DecoderLayer(config, 0)
    layer.to_empty(device="cpu")
    for name, tensor in layer.state_dict().items():
        tensor.copy_(weights.draw(name, tensor.shape, torch.float32))
    layer.requires_grad_(False)
    values = sum(tensor.numel() for tensor in layer.parameters())
    x = torch.randn(1, POSITIONS, config.hidden_size, generator=torch.Generator().manual_seed(9))
    turn = rotation(torch.zeros(1, 1, POSITIONS, config.head_dim // 2))
    precise = layer(x, turn) - x
    for bits in BITS:
        few = quantize(layer, bits)
        stored = sum(_stored(module) for module in few.modules() if _is_few(module))
        matrices = sum(m.weight.numel() for m in layer.modules() if isinstance(m, nn.Linear))
        error = relative_error(few(x, turn) - x, precise)
        name = f"published_block.{bits}bit"
        yield Row(f"{name}.bytes_a_weight", stored / matrices, note=f"{values / 1e6:.0f} M values")
        yield Row(f"{name}.error", error, note="of what the block adds")
        del few


def _is_few(module: nn.Module) -> bool:
    return isinstance(module, bnb.nn.Linear4bit | bnb.nn.Linear8bitLt)


def _stored(module: Any) -> int:
    """Bytes of a few-bit matrix with its scales."""
    weight = module.weight
    if isinstance(module, bnb.nn.Linear4bit):
        state = weight.quant_state
        scales = state.absmax.nbytes
        if state.nested:
            scales += state.state2.absmax.nbytes
        return weight.nbytes + scales
    scale = getattr(weight, "SCB", None)
    scale = module.state.SCB if scale is None else scale
    return weight.nbytes + (0 if scale is None else scale.nbytes)


def memory_rows() -> Iterator[Row]:
    """GB of each part of the published model, and of each plan in a spoken turn of 30 s."""
    config = OmniConfig()
    with torch.device("meta"):
        state = OmniForCausalLM(config).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    matrices = _matrix_values(shapes)
    for part, size in component_bytes(shapes, Plan(), 2).items():
        if size < 1e6:
            continue
        saved = {
            bits: matrices.get(part, 0) * (2 - WEIGHT_BYTES[f"{bits}bit"]) / 1e9  # type: ignore[index]
            for bits in BITS
        }
        note = f"{saved[8]:.2f} less in 8 bits, {saved[4]:.2f} less in 4"
        yield Row(f"memory.{part}_gb", size / 1e9, note="tables" if not saved[8] else note)
    plans = (Plan(), Plan("8bit"), Plan("4bit"), *PLANS[1:])
    for plan in plans:
        need = needed(shapes, config.to_dict(), plan, 2, PUBLISHED_VOCODER_BYTES, SPOKEN_TURN)
        name = plan.name.replace(" with ", "_") + ("_lm_head_8bit" if plan.lm_head_8bit else "")
        note = f"weights {need.weights / 1e9:.2f}, speech {need.speech / 1e9:.2f}"
        note += f"; {need.host / 1e9:.2f} on the host" if need.host else ""
        yield Row(f"plan.{name}_gb", need.device / 1e9, note=note)


def _matrix_values(shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """Values in matrices that products read, by part (no tables, no kernels)."""
    from omni.loading.plans import component_of

    sums: dict[str, int] = {}
    for name, shape in shapes.items():
        if len(shape) == 2 and "embed" not in name and name.endswith("weight"):
            part = component_of(name)
            sums[part] = sums.get(part, 0) + prod(shape)
    return sums


def measure(config: str) -> Iterator[Row]:
    """All rows."""
    yield from memory_rows()
    yield from block_rows()
    yield from error_rows(load_random(config, "cpu", "float32"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = flags_parser(__doc__)
    parser.add_argument(
        "--config", default="small", help="sizes of the model on which errors are measured"
    )
    parser.add_argument(
        "--products", action="store_true", help="measure how long products take on this CPU instead"
    )
    flags = parser.parse_args(arguments)
    rows = list(product_rows() if flags.products else measure(flags.config))
    command = command_of("benchmarks.quantization", arguments)
    return report(rows, about_machine(), command, flags.json)


if __name__ == "__main__":
    sys.exit(main())
