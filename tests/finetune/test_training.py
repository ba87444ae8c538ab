"""Every stage of the training runs, resumes, and its loss falls."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from finetune import bank, store, train
from finetune.curves import draw
from finetune.domain.lexicon import COLORS, PLACES, SHAPES
from finetune.examples import TASKS, example
from finetune.loop import Loop, LoopOptions, StepFunction, rate_at
from finetune.nano import fresh_model, fresh_vocoder, nano_config, nano_tokenizer
from finetune.parts import Seen
from finetune.plan import LOOPS, STAGES, Plan
from finetune.sequences import IGNORED, LISTENING_DELAY, Sequence, SequenceWriter
from finetune.stages import pitch
from finetune.stages.decoder import DecoderStage
from finetune.stages.flow_start import start_estimator
from finetune.stages.language import FORGOTTEN_SHARE, MISHEARD_SHARE, LanguageStage, collate
from finetune.stages.quantizer import QuantizerTrainer
from finetune.stages.vision import Sight, VisionBatches, VisionStage
from finetune.stages.vocoder import VocoderStage, match_level
from finetune.train import Training
from omni.checkpoint import Checkpoint
from omni.conversation import Speech, Text
from omni.model.audio_tokenizer import AudioTokenizer
from omni.model.flow_unet import FlowUNet
from omni.model.vocoder import HiFTVocoder
from omni.model.vocoder_source import SourceNoise
from omni.nano import VOCODER_FILE, WEIGHTS_FILE
from tests.finetune.espeak import needs_espeak

pytestmark = needs_espeak


@pytest.fixture(scope="module")
def writer() -> SequenceWriter:
    model = fresh_model(0)
    return SequenceWriter(nano_tokenizer(), model.config, model.audio_tokenizer.eval())


def losses_over(
    step_losses: StepFunction,
    parameters: Iterable[torch.nn.Parameter],
    steps: int,
    rate: float,
    told: str = "loss",
) -> list[float]:
    """The values of one loss while ``loss`` is minimized."""
    optimizer = torch.optim.AdamW(parameters, lr=rate)
    values = []
    for step in range(steps):
        losses = step_losses(step)
        values.append(losses[told].item())
        losses["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    return values


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
        sequences = [writer.write(example(n, 1, "train", name, "core")) for n in range(9)]  # type: ignore[arg-type]
        given = collate(sequences, config)
        batch = collate(sequences, config, np.random.default_rng(0))
        again = collate(sequences, config, np.random.default_rng(0)).codes
        codes = batch.codes
        assert torch.equal(codes, again)
        assert (codes >= 0).all() and (codes < torch.tensor(config.audio.codebook_sizes)).all()
        changed[name] = (codes != given.codes).float().mean().item()
        for side in ("frame_targets", "heard_targets"):  # what is learnt stays as it is
            assert torch.equal(getattr(batch, side), getattr(given, side))
    assert changed["asr"] == pytest.approx(MISHEARD_SHARE, rel=0.3)
    assert changed["tts"] == pytest.approx(FORGOTTEN_SHARE / 2, rel=0.4)


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
def test_each_row_of_a_picture_knows_a_word_for_it(writer: SequenceWriter, language: str) -> None:
    drawn = example(5, 1, "train", "image_qa", "core", language)  # type: ignore[arg-type]
    sequence = writer.write(drawn)
    (scene,) = [part.scene for part in drawn.turns[0].parts if isinstance(part, Seen)]
    told = [i for i, target in enumerate(sequence.sight_targets) if target != IGNORED]
    assert told and {sequence.ids[i] for i in told} == {writer.special.image_pad}
    keys = {word for thing in scene.things for word in (thing.shape, thing.color, thing.place)}
    names = [
        entry.zh[0] if language == "zh" else entry.en.split()[-1]
        for entry in (*SHAPES, *COLORS, *PLACES)
        if entry.key in keys
    ]
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


def test_an_answer_is_written_as_generation_leaves_it(writer: SequenceWriter) -> None:
    """The learnt ids are those of the same answer in a conversation's history."""
    from omni.conversation import Message
    from omni.prompt import PromptBuilder

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


def test_language_losses_fall(writer: SequenceWriter) -> None:
    torch.manual_seed(0)
    model = fresh_model(0)
    stage = LanguageStage(model, torch.device("cpu"))
    batch = collate([writer.write(example(n, 2, "train")) for n in range(3)], model.config)
    values = losses_over(lambda _: stage.losses(batch), stage.parameters(), 6, 2e-3)
    assert values[-1] < 0.8 * values[0]


def test_vision_losses_fall() -> None:
    stage = VisionStage(fresh_model(0), torch.device("cpu"))
    batch = VisionBatches(nano_config(), 1, 4, "core")[0]
    parameters = [*stage.sight.parameters(), *stage.heads.parameters()]
    values = losses_over(lambda _: stage.losses(batch), parameters, 10, 1.5e-3)
    assert values[-1] < 0.7 * values[0]
    assert all(0 <= share <= 1 for share in stage.check([batch]).values())


def test_the_language_model_takes_the_trained_tower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune.train.VISION_CHECKS", 1)
    training = Training(Plan(tmp_path, width="core", workers=0, share=0.0005))
    assert training.run("vision")
    model = fresh_model(1)
    training._restore(Sight(model.model), "vision")
    saved = torch.load(tmp_path / "vision/last.pt", weights_only=True)["module"]
    for name, weight in model.model.state_dict().items():
        if name.startswith("visual_"):
            torch.testing.assert_close(weight, saved[name])


def test_codebooks_learn_to_say_more() -> None:
    """Each level of the quantizer leaves less over, and k-means beats random entries."""
    torch.manual_seed(0)
    bridge = AudioTokenizer(nano_config()).audio_bridge_model
    latents = torch.randn(600, 8) @ torch.randn(8, bridge.layer_norm.normalized_shape[0])
    before = (bridge.recover(bridge.quantize(latents)) - latents).square().mean()
    trainer = QuantizerTrainer(bridge)
    trainer.start(latents)
    quantized, _, commitment = trainer.quantize(latents)
    after = (quantized - latents).square().mean()
    assert after < 0.3 * before
    coarse, _, _ = trainer.quantize(latents, levels=1)
    assert after < (coarse - latents).square().mean()
    assert float(commitment) > 0


def _utterances(pitches: list[torch.Tensor]) -> store.UtteranceStore:
    """Noise of one second each, of these pitches."""
    generator = torch.Generator().manual_seed(0)
    heard = [torch.randn(128, 100, generator=generator) for _ in pitches]
    mels = [torch.randn(50, 80, generator=generator) - 5 for _ in pitches]
    phonemes = [torch.zeros(50, dtype=torch.long) for _ in pitches]
    pairs = store.Pairs(heard, mels, phonemes, pitches)
    return cast(store.UtteranceStore, SimpleNamespace(pairs=lambda *_: pairs))


def test_the_decoder_learns_to_tell_pitch_and_leaves_the_codes_alone() -> None:
    torch.manual_seed(0)
    audio, predictor = fresh_model(0).audio_tokenizer, fresh_vocoder(0).f0_predictor
    kept = _utterances([torch.full((50,), 100.0), torch.full((50,), 220.0)])
    stage = DecoderStage(audio, predictor, kept, torch.device("cpu"))
    stage.freeze_codes()
    heard = kept.pairs(0, 2, torch.device("cpu")).heard
    codes = audio.eval().encode(heard)
    parameters = [p for p in audio.parameters() if p.requires_grad]
    learnt = [*parameters, *predictor.parameters()]
    pitches = losses_over(stage.losses, learnt, 12, 1e-3, told="pitch")
    assert pitches[-1] < 0.6 * pitches[0]
    for before, after in zip(codes, audio.encode(heard), strict=True):
        torch.testing.assert_close(before, after)
    flow = audio.audio_flow_matching_decoder
    assert all(p.grad is None for p in flow.conditional_decoder.parameters())


def test_the_pitch_is_read_behind_the_mel_not_beside_it() -> None:
    """The decoder's share of the pitch loss: without its gradient it could not learn to tell."""
    audio, predictor = fresh_model(0).audio_tokenizer, fresh_vocoder(0).f0_predictor
    stage = DecoderStage(audio, predictor, _utterances([torch.zeros(50)]), torch.device("cpu"))
    stage.freeze_codes()
    stage.losses(0)["pitch"].backward()
    grads = [p.grad for p in audio.audio_flow_matching_decoder.prenet.parameters()]
    assert any(grad is not None and grad.abs().max() > 0 for grad in grads)


def test_a_run_resumes_where_it_stopped(tmp_path: Path) -> None:
    def run(folder: Path, *stops: int) -> torch.Tensor:
        for stop in stops:
            torch.manual_seed(0)
            module = torch.nn.Linear(4, 1)
            options = LoopOptions(steps=8, peak_rate=0.1, warmup=2, log_every=1)
            loop = Loop(module, list(module.parameters()), folder, options)

            def losses(step: int, module: torch.nn.Linear = module) -> dict[str, torch.Tensor]:
                x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
                return {"loss": (module(x) - x.sum(1, keepdim=True)).square().mean()}

            loop.options = LoopOptions(
                steps=8, peak_rate=0.1, warmup=2, log_every=1, max_s=0 if stop < 8 else 1e9
            )
            loop.run(losses)
        return module.weight.detach()

    whole = run(tmp_path / "whole", 8)
    parted = run(tmp_path / "parted", 1, 1, 1, 8)
    torch.testing.assert_close(parted, whole)
    rows = [json.loads(line) for line in (tmp_path / "parted/log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 9))


def test_rate_rises_then_falls() -> None:
    options = LoopOptions(steps=100, peak_rate=1.0, warmup=10)
    rates = [rate_at(step, options) for step in range(100)]
    assert max(rates) == pytest.approx(1.0, abs=0.02)
    assert rates[0] < rates[5] < rates[9]
    assert rates[99] == pytest.approx(0.05, abs=0.01)


def test_a_vocoder_is_made_as_loud_as_what_it_learns_from() -> None:
    vocoder = fresh_vocoder(0)
    mel = torch.randn(40, vocoder.config.in_channels, generator=torch.Generator().manual_seed(0))
    loud = vocoder(mel.T[None])[0].detach() * 3
    assert match_level(vocoder, [(mel, loud)]) == pytest.approx(3, rel=0.1)
    assert match_level(vocoder, [(mel, loud)]) == pytest.approx(1, rel=0.1)


def test_a_vocoder_on_decoded_mels_learns_the_true_waves() -> None:
    """A decoded mel is what it is given, not what it is to sound like."""
    generator = torch.Generator().manual_seed(0)
    wave = 0.1 * torch.randn(2, 25 * 480, generator=generator)
    decoded, pitches = torch.zeros(2, 25, 80), torch.full((2, 25), 100.0)
    kept = SimpleNamespace(wave_crops=lambda *_: (wave, decoded, pitches))
    perfect = cast(HiFTVocoder, lambda mel, f0: wave)
    stage = VocoderStage(perfect, cast(store.UtteranceStore, kept), torch.device("cpu"))
    assert all(float(value) == pytest.approx(0) for value in stage.losses(0).values())


def test_a_fresh_vocoder_speaks_at_the_pitch_that_it_is_given() -> None:
    """What enters small is never learnt: the excitation must count from the first step."""
    vocoder = fresh_vocoder(0)
    mel = torch.full((1, vocoder.config.in_channels, 20), -5.0)

    def spectrum(hertz: float) -> torch.Tensor:
        pitches = torch.full((1, 20), hertz)
        noise = torch.Generator().manual_seed(0)
        draws = SourceNoise(vocoder.config, generator=noise)
        source, _ = vocoder.m_source(pitches, draws.phase, draws.frames(0, 20))
        return vocoder.spectrum(mel, source).detach()

    low, high = spectrum(100), spectrum(200)
    assert (low - high).std() > 0.3 * low.std(dim=-1).mean()


def test_a_fresh_flow_lets_the_noise_through() -> None:
    """What is drawn must come out again at the start: the velocity is the mel less the noise."""
    flow = fresh_model(0).audio_tokenizer.audio_flow_matching_decoder
    estimator = flow.conditional_decoder
    mu = torch.full((1, 12, flow.mel_bins), -6.0)
    generator = torch.Generator().manual_seed(0)
    noise, other = (torch.randn(mu.shape, generator=generator) for _ in range(2))

    def likeness() -> float:
        """How much of a change of the noise is in the change of the velocity, as a correlation."""
        with torch.no_grad():
            found = estimator(noise, mu, torch.zeros(1)) - estimator(other, mu, torch.zeros(1))
        sides = torch.stack([found.flatten(), (noise - other).flatten()])
        return torch.corrcoef(sides)[0, 1].item()

    assert abs(likeness()) < 0.2
    start_estimator(estimator)
    torch.nn.init.eye_(estimator.final_proj.weight[..., 0])  # so that bins keep their places
    assert likeness() > 0.5
    with pytest.raises(ValueError, match="does not go through"):
        start_estimator(FlowUNet(replace(nano_config().flow, channels=(64,))))


def test_a_finished_pitch_predictor_trains_further_in_the_units_it_was_trained_in() -> None:
    predictor = fresh_vocoder(0).f0_predictor
    mel = torch.randn(1, 80, 30, generator=torch.Generator().manual_seed(0))
    inner = slice(5, -5)  # what no padding reaches: zeros are another mel in other units

    def in_training() -> torch.Tensor:
        return pitch.HZ_SCALE * predictor((mel - pitch.MEL_MEAN) / pitch.MEL_SPREAD)

    before = in_training()
    pitch.fold_scales(predictor)
    finished = predictor(mel)
    torch.testing.assert_close(finished[:, inner], before[:, inner], rtol=1e-3, atol=1e-3)
    pitch.unfold_scales(predictor)
    torch.testing.assert_close(in_training(), before, rtol=1e-3, atol=1e-3)


STEPS = {
    "pitch": 25,
    "vocoder": 6,
    "tokenizer": 10,
    "decoder": 10,
    "flow": 10,
    "pitch_decoded": 4,
    "vocoder_decoded": 4,
    "vision": 10,
    "language": 10,
}

NOISY: set[str] = {"pitch_decoded", "vocoder_decoded", "vision"}  # too few steps, other pictures


def test_the_whole_training_runs_and_its_losses_fall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every stage for a few steps, from nothing to a checkpoint that the engine's loader takes."""
    monkeypatch.setattr(store, "SHARD", 10)
    monkeypatch.setattr(bank, "SHARD", 24)
    monkeypatch.setattr(bank, "FIRST_EXAMPLES", 0)
    monkeypatch.setattr(train, "LANGUAGE_BATCH", 8)
    monkeypatch.setattr(train, "VISION_CHECKS", 1)
    monkeypatch.setattr(train, "VISION_BATCH", 8)
    for stage, steps in STEPS.items():
        options = replace(LOOPS[stage], steps=steps, warmup=2, log_every=1)  # type: ignore[index]
        monkeypatch.setitem(LOOPS, stage, options)  # type: ignore[arg-type]
    folder, target = tmp_path / "run", tmp_path / "nano"
    plan = Plan(folder, utterances=10, examples=24, width="core", workers=1, target=target)
    training = Training(plan)
    for stage in STAGES:
        assert training.run(stage), stage
    for stage in STEPS:
        values = [
            json.loads(row)["loss"] for row in (folder / stage / "log.jsonl").open(encoding="utf-8")
        ]
        assert len(values) == STEPS[stage]
        if stage not in NOISY:
            assert np.mean(values[-2:]) < np.mean(values[:2]), (stage, values)
    checkpoint = Checkpoint(target, "nano")
    assert checkpoint.defaults.trained and checkpoint.defaults.options.first_text.greedy
    assert 10e6 < checkpoint.parameters() < 20e6
    assert sum(path.stat().st_size for path in target.iterdir()) < 60e6
    draw(folder, tmp_path / "curves.svg")
    assert "<svg" in (tmp_path / "curves.svg").read_text(encoding="utf-8")
    # The next training begins with that checkpoint, at any stage.
    again = replace(plan, folder=tmp_path / "again", start=target, target=tmp_path / "next")
    for data in ("features", "decoded.safetensors"):
        (again.folder / data).parent.mkdir(exist_ok=True)
        (again.folder / data).symlink_to(folder / data)
    assert Training(again).run("vocoder_decoded")
    finished = load_file(target / VOCODER_FILE)
    made = torch.load(again.folder / "vocoder_decoded" / "last.pt", weights_only=True)["module"]
    pitches = [name for name in finished if name.startswith("f0_predictor")]
    assert pitches and all(torch.equal(made[name], finished[name]) for name in pitches)
    again = replace(again, folder=tmp_path / "untrained")
    assert Training(again).run("write")
    for name in (WEIGHTS_FILE, VOCODER_FILE):
        kept, written = load_file(target / name), load_file(again.target / name)
        assert all(torch.equal(kept[key], written[key]) for key in kept), name
