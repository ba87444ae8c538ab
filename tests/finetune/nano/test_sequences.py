"""Examples become sequences, are kept in a bank, and are made harder while the model learns."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from finetune.nano.base.checkpoint import nano_config, nano_tokenizer
from finetune.nano.domain.languages import Language
from finetune.nano.domain.lexicon import COLORS, NUMBERS, PLACES, SHAPES
from finetune.nano.examples import bank
from finetune.nano.examples.examples import TASKS, WEIGHTS, example
from finetune.nano.examples.parts import Seen
from finetune.nano.examples.sequences import IGNORED, LISTENING_DELAY, Sequence, SequenceWriter
from finetune.nano.speech.synthesis import HEARD_RATE
from finetune.nano.stages.language import FORGOTTEN_SHARE, MISHEARD_SHARE, collate
from omni.conversation import Message, Speech, Text, VoicePrompt
from omni.model.audio.audio_tokenizer import AudioTokenizer
from omni.prompting.prompt import PromptBuilder
from tests.support.espeak import needs_espeak

pytestmark = needs_espeak


@pytest.mark.parametrize("task", TASKS)
def test_every_task_becomes_a_sequence(writer: SequenceWriter, task: str) -> None:
    sequence = writer.write(example(3, 1, "train", task))  # type: ignore[arg-type]
    special = writer.special
    for targets in (sequence.text_targets, sequence.sound_targets, sequence.sight_targets):
        assert len(targets) == len(sequence.ids)
    assert sequence.ids.count(special.audio_pad) == sum(map(len, sequence.codes))
    assert len(sequence.frame_places) == sum(map(len, sequence.frame_targets))
    for place, target in zip(sequence.frame_places, np.concatenate(frames(sequence)), strict=True):
        ends = target[0] == writer.end_frame[0]
        following = special.audiogen_end if ends else special.audio_pad
        assert sequence.ids[place + 1] == following
        assert sequence.text_targets[place] == IGNORED


def frames(sequence: Sequence) -> list[np.ndarray]:
    return sequence.frame_targets or [np.zeros((0, 4), np.int64)]


def test_each_frame_knows_the_word_that_sounds(writer: SequenceWriter) -> None:
    drawn = example(4, 1, "train", "tts", language="en")
    sequence = writer.write(drawn)
    heard_words = [t for t in sequence.sound_targets if t != IGNORED]
    once = [t for i, t in enumerate(heard_words) if i == 0 or heard_words[i - 1] != t]
    text = " ".join(piece.utterance.text for piece in drawn.pieces)
    spelled = "".join(writer.tokenizer.piece(token) for token in once)
    assert spelled.replace(" ", "") == "".join(c for c in text if c.isalpha() or c == "'")
    places = [i for i, target in enumerate(sequence.sound_targets) if target != IGNORED]
    assert set(places) <= set(sequence.frame_places)


def test_what_is_heard_is_told_a_little_later(writer: SequenceWriter) -> None:
    drawn = example(4, 1, "train", "asr", language="zh")
    sequence = writer.write(drawn)
    first = sequence.ids.index(writer.special.audio_start) + 1
    told = [i for i, target in enumerate(sequence.sound_targets) if target != IGNORED]
    assert told[0] >= first + LISTENING_DELAY
    assert told[-1] <= sequence.ids.index(writer.special.audio_end)


def test_some_codes_are_replaced_while_the_model_learns(writer: SequenceWriter) -> None:
    config = writer.config
    changed = {}
    for name in ("asr", "tts"):
        sequences = [writer.write(example(n, 1, "train", name, "core")) for n in range(40)]  # type: ignore[arg-type]
        given = collate(sequences, config)
        batch = collate(sequences, config, np.random.default_rng(0))
        again = collate(sequences, config, np.random.default_rng(0)).codes
        codes = batch.codes
        assert torch.equal(codes, again)
        assert (codes >= 0).all() and (codes < torch.tensor(config.audio.codebook_sizes)).all()
        changed[name] = (codes != given.codes).float().mean().item()
        for side in ("frame_targets", "heard_targets"):  # what is learnt stays as it is
            assert torch.equal(getattr(batch, side), getattr(given, side))
    assert changed["asr"] == pytest.approx(MISHEARD_SHARE / 2, rel=0.3)
    assert changed["tts"] == pytest.approx(FORGOTTEN_SHARE / 2, rel=0.3)


def test_the_places_before_what_is_heard_learn_its_codes(writer: SequenceWriter) -> None:
    sequences = [
        writer.write(example(n, 1, "train", name, "core"))
        for n, name in enumerate(("clone", "image_qa", "asr"))
    ]
    batch = collate(sequences, writer.config)
    ids = batch.ids.flatten()
    assert (ids[batch.heard_places + 1] == writer.special.audio_pad).all()
    assert not set(batch.heard_places.tolist()) & set(batch.frame_places.tolist())
    voice, asked = sequences[0], sequences[2]
    first = voice.ids.index(writer.special.audio_end)
    first -= voice.ids.index(writer.special.audio_start) + 1  # codes of the prompt
    assert (batch.heard_targets[:first].numpy() == voice.codes[0][:first]).all()
    assert (batch.heard_targets[-len(asked.codes[-1]) :].numpy() == asked.codes[-1]).all()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_row_of_a_picture_knows_a_word_for_it(
    writer: SequenceWriter, language: Language
) -> None:
    for number in count():
        drawn = example(number, 1, "train", "image_qa", "core", language)
        (scene,) = [part.scene for part in drawn.turns[0].parts if isinstance(part, Seen)]
        if len(scene.things) > 2:
            break
    sequence = writer.write(drawn)
    told = [i for i, target in enumerate(sequence.sight_targets) if target != IGNORED]
    assert told and {sequence.ids[i] for i in told} == {writer.special.image_pad}
    keys = {word for thing in scene.things for word in (thing.shape, thing.color, thing.place)}
    names = [
        entry.zh[0] if language == "zh" else entry.en.split()[-1]
        for entry in (*SHAPES, *COLORS, *PLACES)
        if entry.key in keys
    ]
    for entry in NUMBERS[1 : len(scene.things) + 1]:
        names.append(entry.counting if language == "zh" else entry.en)
    said = {writer.tokenizer.piece(sequence.sight_targets[i]).strip() for i in told}
    assert said <= set(names) and len(said) >= 2


def test_a_bank_gives_back_what_was_written(writer: SequenceWriter, tmp_path: Path) -> None:
    plan = bank.BankPlan(0, "core")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank, "SHARD", 4)
        bank.write_shard(plan, tmp_path, writer)
    kept = bank.Bank(tmp_path)
    assert len(kept.sequences) == 4
    for number, found in enumerate(kept.sequences):
        drawn = example(
            number,
            bank.SEED,
            "train",
            width="core",
            weights=bank.FIRST_TASKS,
            renderings=bank.RENDERINGS,
        )
        wanted = writer.write(drawn)
        for name in ("ids", "text_targets", "sound_targets", "sight_targets", "frame_places"):
            assert getattr(found, name) == getattr(wanted, name), name
        for name in ("codes", "frame_targets"):
            empty = [np.zeros((0, 4), np.int64)]
            sides = (np.concatenate(empty + getattr(one, name)) for one in (found, wanted))
            np.testing.assert_array_equal(*sides)
        for name in ("images", "frames"):
            for one, other in zip(getattr(found, name), getattr(wanted, name), strict=True):
                np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    lengths = [len(sequence.ids) for sequence in kept.batch(0, 3)]
    assert kept.batch(0, 3) == kept.batch(0, 3) and lengths == sorted(lengths)


def test_a_bank_goes_on_behind_what_an_earlier_training_has_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bank, "SHARD", 6)
    audio = AudioTokenizer(nano_config()).eval()
    bank.fill(tmp_path, 5, audio, "core", workers=1, first=15)
    names = [bank.BankPlan(number, "core").name for number in (2, 3)]  # examples 12 to 23
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    bank.fill(tmp_path, 6, audio, "core", workers=1, first=12, tasks=("tts",))
    (added,) = {path.name for path in tmp_path.iterdir()} - set(names)
    assert added == bank.BankPlan(2, "core", tasks=("tts",)).name


def test_a_bank_may_hold_some_tasks_only() -> None:
    late = bank.FIRST_EXAMPLES // bank.SHARD + 1
    assert bank.BankPlan(0, "core").weights == bank.FIRST_TASKS
    assert bank.BankPlan(late, "core").weights == WEIGHTS
    for number in (0, late):
        plan = bank.BankPlan(number, "core", tasks=("image_qa", "spoken_qa"))
        assert plan.weights == {name: WEIGHTS[name] for name in ("image_qa", "spoken_qa")}


def test_an_answer_is_written_as_generation_leaves_it(writer: SequenceWriter) -> None:
    """The learnt ids are those of the same answer in a conversation's history."""
    drawn = example(5, 1, "train", "tts")
    while not drawn.speech or drawn.form != "conversation":
        drawn = example(len(drawn.answer) + 100, 1, "train", "chat")
    sequence = writer.write(drawn)
    pieces = [part for piece in drawn.pieces for part in (Text(piece.text), None)]
    codes = iter(sequence.codes[-len(drawn.pieces) :])
    parts = tuple(Speech(next(codes)) if part is None else part for part in pieces)
    builder = PromptBuilder(nano_tokenizer(), writer.config)
    history = builder.message(Message("assistant", parts, spoken=True)).ids
    assert sequence.ids[-len(history) :] == history


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_reading_in_a_voice_begins_as_the_program_asks_for_it(
    writer: SequenceWriter, tmp_path: Path, language: Language
) -> None:
    numbers = (example(n, 1, "train", "clone", "core", language) for n in count())
    drawn = next(found for found in numbers if found.form == "reading")
    voice = drawn.system.voice
    assert voice is not None
    recording = tmp_path / "voice.wav"
    soundfile.write(recording, voice.waveform(), HEARD_RATE, subtype="FLOAT")
    builder = PromptBuilder(nano_tokenizer(), writer.config)
    text = "".join(piece.text for piece in drawn.pieces)
    asked = builder.reading(text, VoicePrompt(recording), language)[0].ids
    assert writer.write(drawn).ids[: len(asked)] == asked
