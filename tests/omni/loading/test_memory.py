"""Memory is counted right, and the published model stays within its bounds."""

from __future__ import annotations

from functools import cache
from math import prod
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import DynamicCache

from benchmarks.lib.bounds import BOUNDS
from benchmarks.speed.random_model import load_random
from omni.config import OmniConfig
from omni.loading.checkpoint import WEIGHTS_FILE, Checkpoint
from omni.loading.memory import (
    PUBLISHED_VOCODER_BYTES,
    cache_bytes,
    component_bytes,
    needed,
    speech_bytes,
    tensor_bytes,
)
from omni.loading.plans import PLANS, Plan, component_of, default_plan
from omni.loading.quantization import is_quantized
from omni.model.audio.mel_stream import MelStream, MelStreamOptions
from omni.model.omni import OmniForCausalLM
from tests.support.checkpoints import write_checkpoint

GB = 1e9
SPOKEN_TURN = 1024  # positions: 30 s heard and 30 s spoken are 750, and some text
SPEECH_COMPONENTS = (
    "audio_head",
    "code_tables",
    "audio_encoder",
    "audio_bridge",
    "audio_decoder",
    "flow",
)


@cache
def published() -> tuple[dict[str, tuple[int, ...]], dict]:
    config = OmniConfig()
    with torch.device("meta"):
        state = OmniForCausalLM(config).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}, config.to_dict()


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_a_spoken_turn_of_the_published_model_fits(quantization: str) -> None:
    bound = BOUNDS["full", "cuda", quantization]["peak_memory_gb"]
    shapes, config = published()
    plan = default_plan(quantization, "cuda:0")  # type: ignore[arg-type]
    need = needed(shapes, config, plan, 2, PUBLISHED_VOCODER_BYTES, SPOKEN_TURN)
    assert bound.met(need.device / GB)


def test_the_parts_are_the_published_ones() -> None:
    shapes, _ = published()
    values = component_bytes(shapes, Plan(), dtype_bytes=1)
    assert sum(values.values()) == sum(prod(shape) for shape in shapes.values())
    rounded = {part: round(count / GB, 2) for part, count in values.items()}
    assert rounded == {
        "layers": 6.53,
        "lm_head": 0.54,
        "token_table": 0.54,
        "code_tables": 0.07,
        "audio_head": 1.46,
        "vision": 0.68,
        "audio_encoder": 0.64,
        "audio_bridge": 0.18,
        "audio_decoder": 0.17,
        "flow": 0.11,
        "unused": 0.10,
        "other": 0.0,
    }
    assert [name for name in shapes if component_of(name) == "other"] == ["model.norm.weight"]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_no_plan_touches_the_weights_of_speech(plan: Plan) -> None:
    shapes, _ = published()
    before, after = (component_bytes(shapes, which, 2) for which in (Plan(), plan))
    for part in SPEECH_COMPONENTS:
        assert after[part] == before[part]  # type: ignore[index]


def test_plans_go_from_the_best_to_the_smallest() -> None:
    shapes, config = published()
    sizes = [needed(shapes, config, plan, 2, PUBLISHED_VOCODER_BYTES).device for plan in PLANS]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == len(sizes)


def test_what_waits_on_the_host_is_not_counted_on_the_device() -> None:
    shapes, config = published()
    here, away = (needed(shapes, config, Plan(offload=offload), 2, 0) for offload in (False, True))
    assert here.host == 0
    assert away.weights + away.host == here.weights
    # One layer of a tower at a time: far less than the tower, and more than nothing.
    assert 0 < away.onloaded < away.host / 20


def test_tensors_that_nothing_reads_are_counted_where_they_stay() -> None:
    shapes, config = published()
    unused = component_bytes(shapes, Plan(), 2)["unused"]
    freed, kept = (needed(shapes, config, Plan(), 2, 0, keep_unused=k) for k in (False, True))
    assert kept.weights - freed.weights == kept.device - freed.device == unused > 0


def test_the_weights_of_a_file_take_what_is_said(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path)
    checkpoint = Checkpoint(folder, "x")
    values = sum(tensor.numel() for tensor in load_file(folder / WEIGHTS_FILE).values())
    assert checkpoint.parameters() == values

    def bytes_of(plan: Plan, dtype_bytes: int) -> float:
        tensors = checkpoint.tensors.items()
        return sum(tensor_bytes(name, info.shape, plan, dtype_bytes) for name, info in tensors)

    assert bytes_of(Plan(), 4) == 4 * values
    inside = sum(
        info.elements
        for name, info in checkpoint.tensors.items()
        if is_quantized(name, len(info.shape))
    )
    assert 0 < inside < values
    assert bytes_of(Plan("8bit"), 2) == 2 * (values - inside) + inside
    assert bytes_of(Plan("4bit"), 2) < bytes_of(Plan("8bit"), 2)


def test_need_grows_with_everything(tmp_path: Path) -> None:
    checkpoint = Checkpoint(write_checkpoint(tmp_path, {"num_hidden_layers": 6}), "x")
    shapes = {name: info.shape for name, info in checkpoint.tensors.items()}

    def need(plan: Plan, dtype_bytes: int, vocoder_bytes: int) -> int:
        return needed(shapes, checkpoint.config, plan, dtype_bytes, vocoder_bytes).device

    weights = sum(component_bytes(shapes, Plan(), 2).values())
    unused = component_bytes(shapes, Plan(), 2)["unused"]
    small = need(Plan(), 2, 1000)
    assert small > weights - unused + cache_bytes(checkpoint.config, 2, 4096) + 1000
    assert need(Plan(), 2, 2000) == small + 1000
    assert need(Plan(), 4, 1000) > small + weights - unused
    assert need(Plan("4bit"), 2, 1000) < small


def test_the_cache_ends_with_the_context(tmp_path: Path) -> None:
    config = Checkpoint(write_checkpoint(tmp_path), "x").config
    # keys and values of 2 layers, 1 head of 64, 4096 positions
    assert cache_bytes(config, 2, 10**6) == 2 * 2 * 1 * 64 * 4096 * 2


def test_the_cache_and_the_flows_memory_take_what_is_said() -> None:
    loaded = load_random("nano", "cpu", "float32")
    config, positions = loaded.config.to_dict(), 5
    cache = DynamicCache()
    with torch.inference_mode():
        loaded.model.hidden(
            torch.zeros(1, positions, loaded.config.hidden_size), past_key_values=cache
        )
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert cache_bytes(config, 4, positions) == held
    assert cache_bytes(config, 4, 10**9) == cache_bytes(
        config, 4, loaded.config.max_position_embeddings
    )

    frames = 100
    stream = MelStream(
        loaded.model.audio_tokenizer, MelStreamOptions(chunks=(5,), context_frames=frames)
    )
    books = loaded.config.audio.num_codebooks
    for _ in range(8):
        stream.push(torch.zeros(5, books, dtype=torch.int64))
    held = sum(
        buffer.nbytes
        for memory in stream.state.flow.state.memories
        for pair in memory._pairs.values()
        for buffer in pair.buffers
    )
    assert speech_bytes(config, 4, frames) == held
