"""Plans are counted right, keep speech intact, and hold the published model within its bounds."""

from __future__ import annotations

from functools import cache
from math import prod

import pytest
import torch
from transformers import DynamicCache

from benchmarks.lib.bounds import BOUNDS
from benchmarks.speed.random_model import load_random
from omni.config import OmniConfig
from omni.loading.plans import (
    PLANS,
    SHORT_CONTEXT_FRAMES,
    Plan,
    best_fitting,
    cache_bytes,
    default_plan,
    needed,
    part_bytes,
    part_of,
    speech_bytes,
)
from omni.model.audio.mel_stream import MelStream, MelStreamOptions
from omni.model.omni import OmniForCausalLM

GB = 1e9
SPOKEN_TURN = 1024  # positions: 30 s heard and 30 s spoken are 750, and some text
VOCODER_BYTES = 83_300_000  # of the published vocoder, float32
SPEECH_PARTS = (
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
    need = needed(shapes, config, plan, 2, VOCODER_BYTES, SPOKEN_TURN)
    assert bound.met(need.device / GB)


def test_the_parts_are_the_published_ones() -> None:
    shapes, _ = published()
    values = part_bytes(shapes, Plan(), dtype_bytes=1)
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
    assert [name for name in shapes if part_of(name) == "other"] == ["model.norm.weight"]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_no_plan_touches_the_weights_of_speech(plan: Plan) -> None:
    shapes, _ = published()
    before, after = (part_bytes(shapes, which, 2) for which in (Plan(), plan))
    for part in SPEECH_PARTS:
        assert after[part] == before[part]  # type: ignore[index]


def test_plans_go_from_the_best_to_the_smallest() -> None:
    shapes, config = published()
    needs = [(plan, needed(shapes, config, plan, 2, VOCODER_BYTES)) for plan in PLANS]
    sizes = [need.device for _, need in needs]
    assert sizes == sorted(sizes, reverse=True)
    for plan, need in needs:
        found = best_fitting(needs, need.device)
        assert found is not None and found[0] == plan
    assert best_fitting(needs, sizes[-1] - 1) is None


def test_what_waits_on_the_host_is_not_counted_on_the_device() -> None:
    shapes, config = published()
    here, away = (needed(shapes, config, Plan(offload=offload), 2, 0) for offload in (False, True))
    assert here.host == 0
    assert away.weights + away.host == here.weights
    # One layer of a tower at a time: far less than the tower, and more than nothing.
    assert 0 < away.visitor < away.host / 20


def test_on_the_cpu_only_the_blocks_are_quantized() -> None:
    for quantization in ("none", "8bit", "4bit"):
        plan = default_plan(quantization, "cpu")  # type: ignore[arg-type]
        assert plan == Plan(quantization)  # type: ignore[arg-type]


def test_offload_can_be_asked_for_and_refused() -> None:
    assert default_plan("none", "cuda", offload=True).host_modules
    assert not default_plan("4bit", "cuda", offload=False).host_modules
    assert default_plan("4bit", "cuda", offload=False).context_frames == SHORT_CONTEXT_FRAMES


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
