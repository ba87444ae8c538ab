"""A turn's context and the prompt of the next turn are the same ids and the same embeddings.

With random weights, real prompts and drawn (not greedy) turns, however they end.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
import torch

from omni.conversation import Conversation, Message, Speech, Text
from omni.events import AudioFrame, Finished, FinishReason, TextDelta
from omni.generation.loop import GenerationLoop
from omni.model.omni import OmniForCausalLM
from omni.options import PUBLISHED, GenerationOptions, Sampling
from omni.prompting.prompt import PromptBuilder
from omni.prompting.tokenizer import OmniTokenizer
from tests.support.byte_tokenizer import byte_tokenizer
from tests.support.embedding import embed_prompt
from tests.support.golden_model import assert_close, golden_model
from tests.support.golden_set import GoldenSet

WILD = Sampling(1.3, 0, 1.0, 1.0, 12)  # random weights then say a bit of everything
OURS = GenerationOptions(
    first_text=WILD,
    next_text=WILD,
    text_only=WILD,
    audio=replace(WILD, max_new=4),
    max_rounds=3,
    first_stops=(",", ". ", "!"),
)
AS_PUBLISHED = replace(OURS, keep_cut_token=False, stop_inside_words=True, mask_specials=False)
ASKED = Conversation(messages=(Message("user", (Text("Hello?"),)),))


@pytest.fixture
def model() -> OmniForCausalLM:
    return golden_model()


@pytest.fixture
def tokenizer(golden: GoldenSet, model: OmniForCausalLM, tmp_path: Any) -> OmniTokenizer:
    if golden.tokenizer is not None:
        return OmniTokenizer.from_folder(golden.tokenizer)
    return byte_tokenizer(tmp_path, model.config)


def fed_embeddings(model: OmniForCausalLM, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Collects everything that the language model is given from now on."""
    fed: list[torch.Tensor] = []
    hidden = model.hidden

    def keep(embeds: torch.Tensor, past_key_values: Any) -> torch.Tensor:
        fed.append(embeds)
        return hidden(embeds, past_key_values)

    monkeypatch.setattr(model, "hidden", keep)
    return fed


@pytest.mark.parametrize("speech", [True, False], ids=["speech", "text"])
@pytest.mark.parametrize("options", [OURS, AS_PUBLISHED], ids=["ours", "published"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("steps", [2, 9, 1000])
def test_the_history_repeats_the_context(
    model: OmniForCausalLM,
    tokenizer: OmniTokenizer,
    monkeypatch: pytest.MonkeyPatch,
    speech: bool,
    options: GenerationOptions,
    seed: int,
    steps: int,
) -> None:
    """``steps``: after how many events the turn is stopped."""
    fed, stop = fed_embeddings(model, monkeypatch), threading.Event()
    builder, loop = PromptBuilder(tokenizer, model.config), GenerationLoop(model, tokenizer)
    options = replace(options, speech=speech, seed=seed)
    turn = loop.run(builder.build(ASKED, speech), options, stop)
    events = []
    for event in turn:
        events.append(event)
        if len(events) == steps:
            stop.set()
    last = events[-1]
    assert isinstance(last, Finished)

    answered = ASKED.plus(
        Message("assistant", last.parts, spoken=speech), Message("user", (Text("And?"),))
    )
    following = builder.build(answered, speech)
    assert tuple(following.ids[: len(turn.ids)]) == turn.ids
    assert following.ids[len(turn.ids)] == tokenizer.special.user

    context = torch.cat(fed, dim=1)
    assert len(turn.ids) - 3 < context.shape[1] <= len(turn.ids)
    again = embed_prompt(model, following)[:, : context.shape[1]]
    assert_close(context, again, atol=1e-6)

    parts = last.parts
    texts = [part.text for part in parts if isinstance(part, Text)]
    assert "".join(texts) == "".join(e.text for e in events if isinstance(e, TextDelta))
    if options.keep_cut_token:
        spoken = [part.codes for part in parts if isinstance(part, Speech)]
        frames = [e.codes.tolist() for e in events if isinstance(e, AudioFrame)]
        assert [row for codes in spoken if codes is not None for row in codes.tolist()] == frames


def test_turns_of_every_kind_were_tried(model: OmniForCausalLM, tokenizer: OmniTokenizer) -> None:
    """The seeds above meet several rounds, the limit of frames and texts cut off."""
    builder, loop = PromptBuilder(tokenizer, model.config), GenerationLoop(model, tokenizer)
    reasons: set[FinishReason] = set()
    rounds = 0
    for seed in range(3):
        *_, last = loop.run(builder.build(ASKED, True), replace(OURS, seed=seed))
        assert isinstance(last, Finished)
        reasons.add(last.reason)
        rounds += sum(isinstance(part, Speech) for part in last.parts)
    assert "limit" in reasons and rounds > 3


def test_our_options_and_the_published_ones_differ_only_where_they_say() -> None:
    names = ("keep_cut_token", "stop_inside_words", "mask_specials")
    changed = {name: getattr(PUBLISHED, name) for name in names}
    assert replace(GenerationOptions(), **changed) == PUBLISHED
