"""The plan: what grows with what, and that it is the app's one estimate for the weights."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finetune.lora.plan import (
    TABLE,
    Training,
    published_sizes,
    sentence,
    table,
    table_lines,
    trained_values,
    training_need,
)
from omni.loading.memory import component_bytes
from omni.loading.plans import Plan

SHAPES, CONFIG = published_sizes()


def total(**changes: object) -> int:
    return training_need(SHAPES, CONFIG, replace(Training(), **changes)).total  # type: ignore[arg-type]


def test_the_weights_are_those_of_the_apps_estimate() -> None:
    need = training_need(SHAPES, CONFIG, Training("4bit"))
    parts = component_bytes(SHAPES, Plan("4bit"), 2)
    assert need.loaded == pytest.approx(sum(parts.values()), rel=1e-6)
    kept = sum(parts[name] for name in ("layers", "lm_head", "token_table", "code_tables"))
    assert kept + parts["audio_head"] < need.weights < kept + parts["audio_head"] + parts["vision"]


def test_the_adapters_of_the_published_model() -> None:
    # r times 82,944 a layer of 28 (in and out of the five linears).
    assert trained_values(SHAPES, Training(rank=16)) == 16 * 82_944 * 28
    more = trained_values(SHAPES, Training(rank=16, audio_head=True))
    assert more > trained_values(SHAPES, Training(rank=16))
    assert trained_values(SHAPES, Training(bridges=True)) > 40_000_000


@pytest.mark.parametrize(
    "more",
    [
        {"tokens": 8192},
        {"batch": 4},
        {"rank": 64},
        {"audio_head": True},
        {"held": True},
        {"bridges": True},
        {"checkpointing": False},
        {"dtype_bytes": 4},
        {"frames": 2048},
    ],
)
def test_more_of_anything_takes_more(more: dict[str, object]) -> None:
    assert total(**more) > total()


def test_less_of_anything_takes_less() -> None:
    assert total(quantization="4bit") < total(quantization="8bit") < total()
    assert total(moment_bytes=1) < total()
    assert total(frames=0) < total()


def test_the_table_fits_its_gpus() -> None:
    fits = list(table(SHAPES, CONFIG))
    assert len(fits) == 3 * len(TABLE)
    for fit in fits:
        assert not fit.training.tokens or fit.need.total < fit.memory
    small = next(fit for fit in fits if fit.training.quantization == "4bit")
    assert small.training.tokens >= 2048, "QLoRA of 2,048 tokens fits 24 GB"
    for narrow, wide in zip(fits[: len(TABLE)], fits[len(TABLE) :], strict=False):
        assert narrow.training.tokens <= wide.training.tokens
    assert len(list(table_lines(SHAPES, CONFIG))) == 2 + len(fits)


def test_the_sentence() -> None:
    training = Training("4bit")
    need = training_need(SHAPES, CONFIG, training)
    said = sentence(training, need, "cuda:0", 24 * 10**9)
    assert said.startswith("QLoRA r16, 2,048 tokens: needs about 1")
    assert said.endswith("cuda:0 has 24.0 GB free.")
    assert "4 rows at a time" in sentence(replace(training, batch=4), need, "cuda:0", None)
