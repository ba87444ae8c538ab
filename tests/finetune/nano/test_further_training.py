"""A training that goes on from learnt weights: smaller steps, and a voice whose codes stay."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from finetune.nano.base.checkpoint import fresh_model, load_checkpoint, nano_config, nano_tokenizer
from finetune.nano.examples import bank
from finetune.nano.examples.examples import example
from finetune.nano.examples.sequences import SequenceWriter
from finetune.nano.plan import LOOPS, Plan
from finetune.nano.stages.ears import LEARNS
from finetune.nano.train import Training
from omni.loading.nano import NANO_FOLDER
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
    learnt, before = (fresh_model(seed).audio_tokenizer.state_dict() for seed in (1, 2))
    for name, weight in voice.state_dict().items():
        torch.testing.assert_close(weight, before[name])
    for name, weight in ears.state_dict().items():
        own = name.startswith(LEARNS)
        torch.testing.assert_close(weight, (learnt if own else before)[name])
    assert any(name.startswith("audio_model.") for name in before)


def test_what_is_written_has_the_ears_and_a_later_decoder(tmp_path: Path) -> None:
    for stage, seed in (("ears", 1), ("decoder", 2)):
        (tmp_path / stage).mkdir()
        module = fresh_model(seed).audio_tokenizer.state_dict()
        torch.save({"module": module}, tmp_path / stage / "last.pt")
    target = tmp_path / "nano"
    plan = Plan(tmp_path, width="core", start=NANO_FOLDER, target=target)
    assert Training(plan).write()
    made, kept = fresh_model(0), fresh_model(0)
    load_checkpoint(target, made)
    load_checkpoint(NANO_FOLDER, kept)
    ears, decoder = (fresh_model(seed).audio_tokenizer for seed in (1, 2))
    for part, side in (("audio_model", ears), ("audio_decoder", decoder)):
        found = made.audio_tokenizer.get_submodule(part).state_dict()
        for name, weight in side.get_submodule(part).state_dict().items():
            torch.testing.assert_close(found[name], weight, atol=1e-2, rtol=1e-2)  # 16 bits
    for name, weight in made.model.state_dict().items():
        torch.testing.assert_close(weight, kept.model.state_dict()[name])
