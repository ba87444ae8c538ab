"""The listener of the speech error rows: spelling, errors, learning from the training side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.listeners import train_recognizer
from benchmarks.quality import listener_error
from benchmarks.quality.recognizer import (
    Recognizer,
    collapsed,
    encoded,
    error_rate,
    features,
    load_recognizer,
    output_frames,
    symbols,
    word_errors,
    write_recognizer,
    written,
)
from finetune.nano.domain.width import LANGUAGES
from finetune.nano.speech.drawn_voices import variant_file
from finetune.nano.speech.voices import DEFAULT_VOICE, families
from tests.support.toy_speech import held_out_sentences, toy_speech


def test_how_the_recognizer_writes() -> None:
    assert written("There's a Big cat, on 2 beds!", "en") == "theres a big cat on beds"
    assert written("三个红色的圆形。", "zh") == "三个红色的圆形"
    assert "".join(symbols("zh")[n] for n in encoded("圆形，", "zh")) == "圆形"
    a, b = symbols("en").index("a"), symbols("en").index("b")
    assert collapsed([0, a, a, 0, a, b, b, 0], "en") == "aab"
    assert collapsed([1, a, 1, 1, 0, 1, b, 1], "en") == "a b"
    with pytest.raises(ValueError):
        encoded("龘", "zh")


def test_word_errors() -> None:
    assert word_errors(["a", "b", "c"], ["a", "b", "c"]) == 0
    assert word_errors(["a", "c"], ["a", "b", "c"]) == 1
    assert word_errors(["a", "x", "b", "c"], ["a", "b", "d"]) == 2
    assert word_errors([], ["a", "b"]) == 2 and word_errors(["a"], []) == 1
    assert error_rate(["a red cat", "yes"], ["A red cat.", "No."], "en") == 25
    assert error_rate(["三只猫"], ["三只狗。"], "zh") == pytest.approx(100 / 3)
    assert error_rate([], [], "en") == 0


def test_the_recognizer_has_a_score_for_every_frame() -> None:
    torch.manual_seed(0)
    listener = Recognizer().eval()
    assert sum(part.numel() for part in listener.parameters()) < 2_000_000
    mel = features(np.random.default_rng(0).standard_normal(16_000).astype(np.float32))
    assert mel.shape == (101, 80) and abs(float(mel.mean())) < 1e-4
    for language in LANGUAGES:
        scores = listener(mel[None], language)
        assert scores.shape == (1, output_frames(101, language), len(symbols(language)))
        assert scores.exp().sum(-1).allclose(torch.ones(1))
        assert isinstance(listener.hear(np.zeros(100, np.float32), language), str)


def test_the_recognizer_learns_and_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_recognizer, "speak", toy_speech)
    monkeypatch.setattr(listener_error, "speak", toy_speech)
    torch.manual_seed(0)
    pool = train_recognizer.Pool(tmp_path / "pool", 8, 8)
    listener = Recognizer()
    optimizer = torch.optim.AdamW(listener.parameters(), 3e-3)
    course = []
    for step in range(12):
        loss = train_recognizer.losses(listener, pool, step, 4)["loss"]
        course.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert sum(course[-4:]) < 0.6 * sum(course[:4])
    again = train_recognizer.Pool(tmp_path / "pool", 8, 8)  # read, not spoken again
    assert all(map(torch.equal, again.mels["en"], pool.mels["en"]))
    write_recognizer(listener, tmp_path / "weights.safetensors.xz")
    loaded = load_recognizer(tmp_path / "weights.safetensors.xz")
    assert (tmp_path / "weights.safetensors.xz").stat().st_size < 4e6
    said = listener_error.held_out_utterances("en", 3, "core")
    assert 0 <= listener_error.own_error(loaded, said) <= 400
    with pytest.raises(FileNotFoundError, match="train_recognizer"):
        load_recognizer(tmp_path / "nothing.safetensors.xz")


def test_the_recognizer_learns_from_the_side_of_training() -> None:
    held = {text for language in LANGUAGES for text in held_out_sentences(language)}
    ours = {variant for family in families("train") for variant in family}
    for language in LANGUAGES:
        drawn = [train_recognizer.draw(index, language) for index in range(150)]
        assert not held & {said.text for said in drawn}
        variants = {said.voice.variant for said in drawn}
        of_training = {name for name in variants if variant_file(name) is None}
        assert of_training <= ours and of_training < variants
        for said in listener_error.held_out_utterances(language, 30, "core"):
            assert said.text in held and said.voice.variant not in ours


def test_the_listener_that_ships_understands_its_own_voice() -> None:
    said = listener_error.held_out_utterances("en", 6, "core", DEFAULT_VOICE)
    assert listener_error.own_error(load_recognizer(), said) < 10  # 0.46 % of 200 sentences
