"""What a CPU can do at best, and so what no step and no decoding on it can be faster than.

Knows: how fast it reads memory and multiplies, the bytes that a step reads, the operations of the
flow. Does not know: how long anything really takes.

A step of one token cannot be faster than its weights are read; decoding many frames not faster than
their products are computed. Beside these rows a missed goal says whether the program is slow or the
machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.lib.rows import Row
from omni.events import FRAMES_PER_SECOND
from omni.loading.load import LoadedModel
from omni.model.audio_head import HeadLayer

READ_BYTES = 512 * 2**20  # many times what caches hold
PRODUCT_SIZES = (512, 1024, 4096)  # rows, inputs, outputs
REPEATS = 5


def read_bytes_per_s() -> float:
    """How fast float32 weights are read by a product with a vector, at best."""
    matrix = torch.ones(READ_BYTES // 4096, 1024)
    vector = torch.ones(1024)
    return matrix.nbytes / _shortest_s(lambda: torch.mv(matrix, vector))


def products_per_s() -> float:
    """Operations a second of a float32 matrix product, at best: a sum and a product are two."""
    rows, inputs, outputs = PRODUCT_SIZES
    left, right = torch.ones(rows, inputs), torch.ones(inputs, outputs)
    return 2 * rows * inputs * outputs / _shortest_s(lambda: left @ right)


def bytes_read(loaded: LoadedModel) -> dict[str, int]:
    """Bytes of weights that a text token and an audio frame have to read."""
    model = loaded.model
    layers, head = weight_bytes(model.model.layers), model.audio_head
    # What the depth loop reads again for every codebook: all but the position-wise weights.
    layers_of_head = cast(Iterable[HeadLayer], head.transformer_layers)
    shared = weight_bytes(*(layer.self_attention for layer in layers_of_head))
    again = (len(head.heads) - 1) * shared
    return {
        "text_tokens_per_s": layers + weight_bytes(model.lm_head),
        "audio_frames_per_s": layers + weight_bytes(head) + again,
    }


@torch.inference_mode()
def flow_operations(loaded: LoadedModel, seconds: float) -> float:
    """Operations of the flow for so much sound: all steps, both guidance branches."""
    tokenizer = loaded.model.audio_tokenizer
    flow = tokenizer.audio_flow_matching_decoder
    codes = round(seconds * FRAMES_PER_SECOND)
    frames = tokenizer.audio_decoder.dconv1.output_length(codes)
    weight = flow.conditional_decoder.final_proj.weight
    mel = weight.new_zeros(2, frames, flow.mel_bins)
    with FlopCounterMode(display=False) as counter:
        flow.conditional_decoder(mel, mel, torch.tensor(0.5, device=weight.device))
    return float(flow.steps * counter.get_total_flops())


def ceiling_rows(loaded: LoadedModel, seconds: float) -> Iterator[Row]:
    """The machine's two speeds and what follows from them; ``seconds``: of sound to decode."""
    read, products = read_bytes_per_s(), products_per_s()
    yield Row("machine.read_gb_per_s", read / 1e9, note="float32 weights, times a vector")
    yield Row("machine.gflop_per_s", products / 1e9, note="float32 matrix product")
    for name, size in bytes_read(loaded).items():
        note = f"each reads {size / 1e9:.2f} GB of weights"
        yield Row(f"machine.most_{name}", read / size, note=note)
    operations = flow_operations(loaded, seconds)
    note = f"the flow alone: {operations / 1e12:.2f} TFLOP in float32"
    yield Row(f"machine.least_wave_{seconds:g}s_s", operations / products, note=note)


def weight_bytes(*modules: nn.Module) -> int:
    """Bytes of all parameters and buffers."""
    return sum(
        tensor.nbytes
        for module in modules
        for tensor in (*module.parameters(), *module.buffers())
        if not tensor.is_meta
    )


def _shortest_s(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
