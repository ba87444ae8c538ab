"""Plans keep speech intact, and stand for what was asked."""

from __future__ import annotations

from omni.loading.plans import SHORT_CONTEXT_FRAMES, Plan, default_plan


def test_on_the_cpu_only_the_blocks_are_quantized() -> None:
    for quantization in ("none", "8bit", "4bit"):
        plan = default_plan(quantization, "cpu")  # type: ignore[arg-type]
        assert plan == Plan(quantization)  # type: ignore[arg-type]


def test_offload_can_be_asked_for_and_refused() -> None:
    assert default_plan("none", "cuda", offload=True).host_modules
    assert not default_plan("4bit", "cuda", offload=False).host_modules
    assert default_plan("4bit", "cuda", offload=False).context_frames == SHORT_CONTEXT_FRAMES
