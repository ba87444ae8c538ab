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

from finetune.nano import train
from finetune.nano.base.checkpoint import fresh_model, fresh_vocoder, nano_config
from finetune.nano.base.loop import Loop, LoopOptions, StepFunction, rate_at
from finetune.nano.curves import draw
from finetune.nano.examples import bank
from finetune.nano.examples.examples import example
from finetune.nano.examples.sequences import SequenceWriter
from finetune.nano.plan import LOOPS, STAGES, Plan
from finetune.nano.speech import store
from finetune.nano.stages import pitch
from finetune.nano.stages.decoder import DecoderStage
from finetune.nano.stages.ears import READING_STEPS, EarsStage
from finetune.nano.stages.flow_start import start_estimator
from finetune.nano.stages.language import LanguageStage, collate
from finetune.nano.stages.quantizer import QuantizerTrainer
from finetune.nano.stages.vision import Sight, VisionBatches, VisionStage
from finetune.nano.stages.vocoder import VocoderStage, match_level
from finetune.nano.train import Training
from omni.loading.checkpoint import Checkpoint
from omni.loading.nano import VOCODER_FILE, WEIGHTS_FILE
from omni.model.audio.audio_tokenizer import AudioTokenizer
from omni.model.audio.flow_unet import FlowUNet
from omni.model.vocoder.hift import HiFTVocoder
from omni.model.vocoder.source import SourceNoise
from tests.support.espeak import needs_espeak

pytestmark = needs_espeak


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


def test_language_losses_fall(writer: SequenceWriter) -> None:
    torch.manual_seed(0)
    model = fresh_model(0)
    stage = LanguageStage(model, torch.device("cpu"))
    batch = collate([writer.write(example(n, 2, "train")) for n in range(3)], model.config)
    values = losses_over(lambda _: stage.losses(batch), stage.parameters(), 6, 2e-3)
    assert values[-1] < 0.8 * values[0]


def test_the_codes_of_what_is_heard_are_foretold(writer: SequenceWriter) -> None:
    torch.manual_seed(0)
    model = fresh_model(0)
    stage = LanguageStage(model, torch.device("cpu"))
    batch = collate([writer.write(example(n, 2, "train", "asr")) for n in range(3)], model.config)
    values = losses_over(lambda _: stage.losses(batch), stage.parameters(), 6, 2e-3, "voice")
    assert values[-1] < 0.95 * values[0]


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
    monkeypatch.setattr("finetune.nano.train.VISION_CHECKS", 1)
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


def test_ears_learn_in_front_of_frozen_codes() -> None:
    torch.manual_seed(0)
    audio = fresh_model(0).audio_tokenizer
    known, natural = (_utterances([torch.zeros(50)] * 2) for _ in range(2))
    natural.pairs(0, 2, torch.device("cpu")).phonemes[0][:] = 7
    stage = EarsStage(audio, known, natural, torch.device("cpu"))
    stage.freeze_codes()
    books = [level.codebook.embed.clone() for level in audio.audio_bridge_model.levels]
    learnt = [p for p in audio.parameters() if p.requires_grad]
    reading = losses_over(stage.losses, stage.readers.parameters(), 5, 1e-2)
    assert reading[-1] < reading[0]
    read = losses_over(
        lambda step: stage.losses(READING_STEPS + step),
        [*learnt, *stage.readers.parameters()],
        12,
        1e-3,
        told="read",
    )
    assert read[-1] < read[0]
    for told in ("mel", "pitch"):  # who says it is learnt through codes and decoder, too
        stage.losses(READING_STEPS)[told].backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in learnt), told
        audio.zero_grad()
    for before, level in zip(books, audio.audio_bridge_model.levels, strict=True):
        torch.testing.assert_close(before, level.codebook.embed)
    assert all(p.grad is None for p in audio.audio_decoder.parameters())


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
