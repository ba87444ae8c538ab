"""omni.generation.sampling against the golden probabilities, and what a draw must satisfy."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from transformers import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from omni.generation.sampling import (
    draw,
    mark_seen,
    penalize,
    pick,
    random_source,
    seen_ids,
)
from omni.options import FIRST_TEXT, NEXT_TEXT, SPEECH, Sampling
from tests.support.golden_set import GoldenSet, golden_set
from tests.support.probabilities import probabilities

PLAIN = Sampling(1.0, 0, 1.0, 1.0, 10)


@pytest.mark.parametrize("name", sorted(golden_set().json("sampling")))
def test_probabilities_equal_the_published_processors(golden: GoldenSet, name: str) -> None:
    settings = golden.json("sampling")[name]
    tensors = golden.tensors("sampling")
    logits = tensors[f"{name}.logits"]
    sampling = Sampling(
        settings["temperature"],
        settings["top_k"],
        settings["top_p"],
        settings["repetition_penalty"],
        1,
    )
    seen = torch.cat(
        [seen_ids(row.tolist(), logits.shape[1], "cpu") for row in tensors[f"{name}.history"]]
    )
    result = probabilities(logits, sampling, seen)
    assert (result > 0).sum(-1).tolist() == settings["kept"]
    torch.testing.assert_close(result, tensors[f"{name}.probs"], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("sampling", [FIRST_TEXT, NEXT_TEXT, SPEECH])
@pytest.mark.parametrize("coarse", [False, True], ids=["distinct", "ties"])
def test_probabilities_equal_those_of_transformers(sampling: Sampling, coarse: bool) -> None:
    source = torch.Generator().manual_seed(7)
    scores = torch.randn(6, 500, generator=source) * 3
    if coarse:  # many equal scores, in the top-k's border too; not in top-p's, which is open there
        scores = (scores * 2).round() / 2
        sampling = dataclasses.replace(sampling, top_p=1.0)
    history = torch.randint(500, (6, 30), generator=source)
    expected = RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)(history, scores)
    expected = TemperatureLogitsWarper(sampling.temperature)(history, expected)
    expected = TopKLogitsWarper(sampling.top_k)(history, expected)
    if sampling.top_p < 1.0:
        expected = TopPLogitsWarper(sampling.top_p)(history, expected)
    seen = torch.cat([seen_ids(row.tolist(), 500, "cpu") for row in history])
    torch.testing.assert_close(probabilities(scores, sampling, seen), expected.softmax(-1))


def test_marking_equals_rescanning_the_history() -> None:
    seen = seen_ids([3, 5, 3], 8, "cpu")
    mark_seen(seen, torch.tensor([7]))
    assert torch.equal(seen, seen_ids([7, 5, 3], 8, "cpu"))
    assert seen.nonzero()[:, 1].tolist() == [3, 5, 7]


def test_ids_beyond_the_table_are_not_counted() -> None:
    assert seen_ids([2, 9], 4, "cpu").tolist() == [[False, False, True, False]]


def test_penalty_lowers_scores_on_both_sides_of_zero() -> None:
    scores = torch.tensor([[2.0, -2.0, 2.0, -2.0]])
    seen = torch.tensor([[True, True, False, False]])
    assert penalize(scores, seen, 2.0).tolist() == [[1.0, -4.0, 2.0, -2.0]]


def test_top_k_keeps_ties_with_the_last_one() -> None:
    scores = torch.tensor([[1.0, 1.0, 3.0, 1.0, 0.0]])
    kept = probabilities(scores, dataclasses.replace(PLAIN, top_k=2)) > 0
    assert kept.tolist() == [[True, True, True, True, False]]


def test_top_p_removes_while_the_low_end_sums_to_at_most_the_rest() -> None:
    scores = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()
    # 1 - p = 0.25 is exactly what the two least likely sum to: both go.
    kept = probabilities(scores, dataclasses.replace(PLAIN, top_p=0.75))
    torch.testing.assert_close(kept, torch.tensor([[2 / 3, 1 / 3, 0.0, 0.0]]))


def test_top_p_always_keeps_one() -> None:
    scores = torch.tensor([[0.0, 2.0, 1.0]])
    kept = probabilities(scores, dataclasses.replace(PLAIN, top_p=1e-9))
    assert kept.tolist() == [[0.0, 1.0, 0.0]]


def test_settings_off_mean_a_plain_softmax() -> None:
    scores = torch.randn(3, 50, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(probabilities(scores, PLAIN), scores.softmax(-1))


def test_banned_ids_are_never_chosen() -> None:
    scores = torch.tensor([[9.0, 1.0, 0.0]])
    banned = torch.tensor([True, False, False])
    assert probabilities(scores, PLAIN, banned=banned)[0, 0] == 0
    assert pick(scores, dataclasses.replace(PLAIN, greedy=True), banned=banned).item() == 1
    source = random_source(0, "cpu")
    assert all(pick(scores, PLAIN, None, banned, source).item() != 0 for _ in range(50))


def test_greedy_compares_scores_after_the_penalty() -> None:
    scores = torch.tensor([[1.2, 1.1, 0.0]])
    seen = seen_ids([0], 3, "cpu")
    greedy = Sampling(0.3, 1, 0.1, 1.5, 1, greedy=True)
    assert pick(scores, greedy, seen).item() == 1
    assert (
        pick(scores, dataclasses.replace(greedy, greedy=False, temperature=0.0), seen).item() == 1
    )


def test_draws_have_the_probabilities() -> None:
    weights = torch.tensor([0.6, 0.3, 0.1, 0.0])
    drawn = draw(weights.expand(20_000, 4), random_source(3, "cpu"))
    share = torch.bincount(drawn, minlength=4) / len(drawn)
    torch.testing.assert_close(share, weights, atol=0.015, rtol=0)
    assert share[3] == 0


def test_a_seed_repeats_a_draw_and_another_does_not() -> None:
    scores = torch.zeros(64, 1000)

    def run(seed: int) -> list[int]:
        return pick(scores, PLAIN, source=random_source(seed, "cpu")).tolist()

    assert run(5) == run(5) != run(6)


def test_half_precision_scores_are_sampled_in_float32() -> None:
    scores = torch.randn(2, 300, generator=torch.Generator().manual_seed(2)).bfloat16()
    sampling = Sampling(0.8, 20, 0.85, 1.1, 1)
    seen = torch.ones(2, 300, dtype=torch.bool)
    result = probabilities(scores, sampling, seen)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, probabilities(scores.float(), sampling, seen))


@pytest.mark.gpu
def test_nothing_waits_for_the_device() -> None:
    device = torch.device("cuda")
    scores = torch.randn(1, 152_064, device=device)
    seen = seen_ids([1, 2], 152_064, device)
    banned = torch.zeros(152_064, dtype=torch.bool, device=device)
    source = random_source(0, device)
    sampling = Sampling(0.8, 20, 0.85, 1.1, 1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            mark_seen(seen, pick(scores, sampling, seen, banned, source))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert seen.sum().item() >= 3
