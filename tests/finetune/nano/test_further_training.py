"""A training that goes on from learnt weights: smaller steps, and a voice whose codes stay."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from finetune.nano.base.checkpoint import fresh_model, nano_config, nano_tokenizer
from finetune.nano.examples import bank
from finetune.nano.examples.examples import example
from finetune.nano.examples.sequences import SequenceWriter
from finetune.nano.plan import LOOPS, Plan
from finetune.nano.train import Training
from omni.model.audio.audio_tokenizer import AudioTokenizer
from tests.support.espeak import needs_espeak


def test_shares_of_steps_and_of_the_rate() -> None:
    usual = LOOPS["language"]
    shorter = Plan(Path(), share=0.1, rate=0.4, max_s=60).loop("language")
    assert shorter.steps == round(usual.steps * 0.1) and shorter.max_s == 60
    assert shorter.peak_rate == pytest.approx(usual.peak_rate * 0.4)
    assert Plan(Path()).loop("language") == usual


@needs_espeak
def test_what_is_said_keeps_its_codes_when_the_ears_change() -> None:
    before, after = (fresh_model(seed).audio_tokenizer.eval() for seed in (0, 1))

    def write(audio: AudioTokenizer, voice: AudioTokenizer | None = None) -> np.ndarray:
        sequence = SequenceWriter(nano_tokenizer(), nano_config(), audio, voice).write(drawn)
        pads = np.flatnonzero(np.array(sequence.ids) == nano_config().audio.audio_pad_token_id)
        own.append(np.isin(pads - 1, sequence.frame_places))
        targets = np.concatenate(sequence.frame_targets)
        said = np.concatenate(sequence.codes)[own[-1]]
        np.testing.assert_array_equal(
            said, targets[targets[:, 0] < nano_config().audio.codebook_sizes[0]]
        )
        return np.concatenate(sequence.codes)

    own: list[np.ndarray] = []
    numbers = (example(n, 1, "train", "spoken_qa", "core") for n in count())
    drawn = next(found for found in numbers if found.speech)
    old, new, both = write(before), write(after), write(after, before)
    said = own[0]
    assert said.any() and not said.all() and (old != new).any(1).mean() > 0.5
    np.testing.assert_array_equal(both[said], old[said])
    np.testing.assert_array_equal(both[~said], new[~said])


def test_examples_are_heard_by_the_new_ears_and_said_by_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []
    monkeypatch.setattr(bank, "fill", lambda *given_now: given.extend(given_now))
    for stage, seed in (("tokenizer", 2), ("ears", 1)):
        (tmp_path / stage).mkdir()
        module = fresh_model(seed).audio_tokenizer.state_dict()
        torch.save({"module": module}, tmp_path / stage / "last.pt")
    assert Training(Plan(tmp_path, width="core")).examples()
    ears, voice = (one for one in given if isinstance(one, AudioTokenizer))
    for audio, seed in ((ears, 1), (voice, 2)):
        for name, weight in fresh_model(seed).audio_tokenizer.state_dict().items():
            torch.testing.assert_close(audio.state_dict()[name], weight)
