"""Losses are those of the whole model, scored where something is learnt and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from peft import PeftModel

from finetune.lora import losses
from finetune.lora.batches import Drawn, collate
from finetune.lora.data.examples import IGNORED, Example
from finetune.lora.losses import LossWeights, compute_again, learning
from finetune.lora.options import LoraOptions
from finetune.lora.targets import with_adapters
from omni.model.omni import OmniForCausalLM
from tests.finetune.lora.conftest import learnable


@pytest.fixture
def options(tiny: Path) -> LoraOptions:
    """Adapters everywhere."""
    return LoraOptions(model=str(tiny), device="cpu", rank=2, audio_head=True, bridges=True)


def batch_of(examples: list[Example]) -> dict[str, torch.Tensor]:
    """All examples as they are."""
    return collate([Drawn(example, example.codes) for example in examples])


def shaken(adapted: PeftModel) -> PeftModel:
    """With adapters that change something: fresh ones do not, and half of them get no gradient."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in adapted.parameters():
            if weight.requires_grad:
                weight.add_(0.05 * torch.randn_like(weight))
    return adapted


def test_a_row_that_is_held_learns_what_the_model_scored_before(
    options: LoraOptions, data: Path, tmp_path: Path
) -> None:
    _, model, examples = learnable(options, data, tmp_path)
    learner = learning(model, LossWeights())
    free, half = batch_of(examples), batch_of(examples)
    half["held"][1::2] = True
    all_held = half | {"held": torch.ones_like(half["held"])}
    with torch.no_grad():
        before = [text_scores(learner, example) for example in examples]
        firsts = [first_scores(learner, e) for e in examples if len(e.frame_places)]
    adapted = with_adapters(learner, options, "tiny").train()
    fresh = adapted(**all_held)
    assert float(fresh["loss"]) == pytest.approx(0, abs=1e-5)  # nothing has changed yet
    shaken(adapted)
    with torch.no_grad():
        found, mixed, rows = (adapted(**batch) for batch in (all_held, half, free))
        after = [text_scores(learner, example) for example in examples]
        now = [first_scores(learner, e) for e in examples if len(e.frame_places)]
    assert float(found["text"]) == pytest.approx(divergence(before, after), rel=1e-3)
    assert float(found["coarse"]) == pytest.approx(divergence(firsts, now), rel=1e-3)
    assert 0.001 < float(found["text"]) < float(mixed["text"]) < float(rows["text"])
    adapted(**half)["loss"].backward()
    trained = [weight for weight in adapted.parameters() if weight.requires_grad]
    assert trained and all(weight.grad is not None for weight in trained)


def divergence(before: list[torch.Tensor], after: list[torch.Tensor]) -> float:
    """Of Kullback and Leibler, the mean over places."""
    old, new = (torch.cat(some).log_softmax(-1) for some in (before, after))
    return float((old.exp() * (old - new)).sum(-1).mean())


def test_a_batch_has_the_losses_of_its_rows(
    options: LoraOptions, data: Path, tmp_path: Path
) -> None:
    _, model, examples = learnable(options, data, tmp_path)
    learner = learning(model, LossWeights(fine=0.5))
    with torch.no_grad():
        together = learner(**batch_of(examples))
        text = torch.cat([text_losses(learner, example) for example in examples])
        first = torch.cat([first_losses(learner, e) for e in examples if len(e.frame_places)])
    assert float(together["text"]) == pytest.approx(float(text.mean()), rel=1e-4)
    assert float(together["coarse"]) == pytest.approx(float(first.mean()), rel=1e-4)
    whole = together["text"] + together["audio"]
    assert float(together["loss"]) == pytest.approx(float(whole), rel=1e-6)


def text_losses(model: OmniForCausalLM, example: Example) -> torch.Tensor:
    """Of each place, by all scores of all places."""
    learnt = example.text_targets[example.text_targets != IGNORED]
    return F.cross_entropy(text_scores(model, example), learnt, reduction="none")


def text_scores(model: OmniForCausalLM, example: Example) -> torch.Tensor:
    """Of each place whose text is learnt."""
    return model.lm_head(states(model, example)[example.text_targets != IGNORED])


def first_losses(model: OmniForCausalLM, example: Example) -> torch.Tensor:
    """Of the first codebook, frame by frame."""
    wanted = example.frame_targets[:, 0]
    return F.cross_entropy(first_scores(model, example), wanted, reduction="none")


def first_scores(model: OmniForCausalLM, example: Example) -> torch.Tensor:
    """Of each frame."""
    found = states(model, example)[example.frame_places]
    scores = [
        model.audio_head(s[None], t[None])[0]
        for s, t in zip(found, example.frame_targets, strict=True)
    ]
    return torch.cat(scores)


def states(model: OmniForCausalLM, example: Example) -> torch.Tensor:
    """Of one row, alone."""
    rows = [
        model.model.visual_bridge_model(features) if len(features) else None
        for features in (example.image_features, example.video_features)
    ]
    return model.hidden(model.embed(example.ids[None], example.codes, *rows))[0]


def test_scores_are_made_a_few_places_at_a_time(
    options: LoraOptions, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, model, examples = learnable(options, data, tmp_path)
    learner, batch = learning(model, LossWeights()), batch_of(examples)
    places = int((batch["text_targets"] != IGNORED).sum())
    whole = learner(**batch)["text"]
    seen: list[int] = []
    learner.lm_head.register_forward_hook(lambda _, given, out: seen.append(len(out)))
    monkeypatch.setattr(losses, "SCORED", 7)
    torch.testing.assert_close(learner(**batch)["text"], whole, rtol=1e-5, atol=1e-6)
    assert max(seen) == 7 and sum(seen) == places < batch["ids"].numel()


def test_a_mode_without_speech_reads_no_frame(
    options: LoraOptions, data: Path, tmp_path: Path
) -> None:
    _, model, examples = learnable(options, data, tmp_path)
    learner = learning(model, LossWeights(speech=0.0))
    called: list[bool] = []
    learner.audio_head.register_forward_hook(lambda *_: called.append(True))
    found = learner(**batch_of(examples))
    assert not called and float(found["audio"]) == 0
    torch.testing.assert_close(found["loss"], found["text"])


def test_layers_that_are_computed_again_give_the_same_gradients(
    options: LoraOptions, data: Path, tmp_path: Path
) -> None:
    _, model, examples = learnable(options, data, tmp_path)
    learner = learning(model, LossWeights())
    adapted = shaken(with_adapters(learner, options, "tiny").train())
    batch = batch_of(examples)

    def gradients() -> list[torch.Tensor]:
        adapted.zero_grad()
        adapted(**batch)["loss"].backward()
        return [p.grad.clone() for p in adapted.parameters() if p.grad is not None]

    kept = gradients()
    compute_again(learner)
    again = gradients()
    assert len(kept) == sum(p.requires_grad for p in adapted.parameters())
    for one, other in zip(kept, again, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
