"""The arithmetic of the capacity table."""

from __future__ import annotations

import pytest

from benchmarks import capacity
from omni.conversation import Message, Text
from omni.loading.plans import PLANS, Plan
from tests.support.fake_engine import FakeEngine


@pytest.fixture(scope="module")
def rows() -> dict[str, object]:
    return {row.name: row.value for row in capacity.counted()}


def test_a_minute_of_conversation_is_what_its_positions_take(rows: dict[str, object]) -> None:
    positions = 60 * (12.5 + 0.5 * 2.5 * 1.3)
    assert capacity.positions_a_minute() == pytest.approx(positions)
    # 28 layers, keys and values, 4 heads of 128, 2 bytes each
    assert rows["context_mb_a_minute"] == pytest.approx(
        positions * 28 * 2 * 4 * 128 * 2 / 1e6, 0.01
    )


def test_fewer_bits_and_larger_cards_serve_more(rows: dict[str, object]) -> None:
    def talks(plan: Plan, gpu: str) -> int:
        value = rows[f"{plan.name.replace(' ', '_').replace(',', '')}_{gpu}_talks"]
        assert isinstance(value, int)
        return value

    names = [name for name, _, _ in capacity.GPUS]
    assert len([name for name in rows if name.endswith("_talks")]) == len(PLANS) * len(names)
    for gpu in names:
        by_plan = [talks(plan, gpu) for plan in PLANS]
        assert by_plan == sorted(by_plan)
    for plan in PLANS:
        assert talks(plan, "A100") < talks(plan, "H100") < talks(plan, "H200")


def test_a_frame_reads_the_attention_of_the_head_again() -> None:
    plan = Plan()
    shapes = {
        "model.layers.0.mlp.up_proj.weight": (10, 10),
        "audio_head.transformer_layers.0.self_attention.out_proj.weight": (5, 5),
        "audio_head.transformer_layers.0.linear1.weight": (7, 7),
        "lm_head.weight": (100, 100),
    }
    assert capacity.frame_bytes(shapes, plan) == 2 * (100 + 25 + 49 + 7 * 25)


def test_people_notice_what_they_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "THINK_S", 0.0)
    monkeypatch.setattr(capacity, "QUESTIONS", ("short",))
    person, engine = capacity.Person("a"), FakeEngine()
    person.talk(engine, 2)  # type: ignore[arg-type]
    assert len(person.first_s) == 2 and person.refused == 0
    assert [said.messages for said in engine.seen] == [(Message("user", (Text("short"),)),)] * 2


def test_a_larger_card_runs_a_better_plan_and_what_it_needs_fits() -> None:
    found = dict(zip(capacity.CARDS_GB, capacity.cards(), strict=True))
    assert found[8].value is None
    assert "nano" in found[8].note
    plans = [plan.name for plan in reversed(PLANS)]
    chosen = [plans.index(row.note.split(";")[0]) for row in found.values() if row.value]
    assert chosen == sorted(chosen)
    assert found[80].note.startswith("none;")  # nothing in few bits, nothing on the host
    for memory, row in found.items():
        assert not isinstance(row.value, float) or row.value < memory
