"""Natural speech by espeak-ng's names: alignment of two readings, features of the corpus."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from finetune.nano.base.checkpoint import nano_config
from finetune.nano.speech import store
from finetune.nano.speech.synthesis import SPOKEN_RATE, Sound
from finetune.nano.speech.timing import SILENCE, phoneme_class
from finetune.nano.teachers import features
from finetune.nano.teachers.classes import aligned, anchors, learn, renamed


def said(words: str) -> list[Sound]:
    """A reading: letters are phonemes, a word begins where it stands; silence around."""
    sounds, now = [Sound(0.0, "_", 0)], 0.1
    for place, sign in enumerate(words):
        if not sign.isspace():
            start = words.rfind(" ", 0, place) + 1
            sounds.append(Sound(now, sign, start))
        now += 0.1
    return [*sounds, Sound(now, "_", 0)]


PAIRS = [(said(a), said(b)) for a, b in (("sun tag", "SVN TEG"), ("nut sag", "NVT SEG"),
                                         ("gut tan", "GVT TEN"), ("st", "ST"))]  # fmt: skip


def write_corpus(corpus: Path) -> Path:
    """A shard of two utterances of a second, a low hum that says "sun"; its file of lines."""
    wave = (0.1 * np.sin(np.arange(SPOKEN_RATE) * 0.05)).astype(np.float32)
    corpus.mkdir()
    soundfile.write(corpus / "toy-00000.flac", np.concatenate([wave, wave]), SPOKEN_RATE)
    sounds = [[0.0, "_", 0], [0.2, "s", 0], [0.4, "u", 0], [0.6, "n", 0], [0.8, "_", 0]]
    entry = {"text": "sun", "language": "en", "speaker": "a", "sounds": sounds}
    entries = [entry | {"start": at, "samples": SPOKEN_RATE} for at in (0, SPOKEN_RATE)]
    path = corpus / "toy-00000.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in entries), encoding="utf-8")
    return path


def test_names_are_learnt_from_two_readings() -> None:
    likely = learn(PAIRS)
    best = {symbol: max(known, key=lambda one: known[one]) for symbol, known in likely.items()}
    assert best == {"s": "S", "u": "V", "n": "N", "t": "T", "a": "E", "g": "G"}


def test_what_one_reading_lacks_is_left_out() -> None:
    likely = learn(PAIRS)
    assert aligned("sun", "SN", likely) == [(0, 0), (2, 1)]
    assert aligned("sn", "SVN", likely) == [(0, 0), (1, 2)]
    assert aligned("", "SVN", likely) == []


def test_a_reading_gets_the_other_ones_names_and_keeps_its_times() -> None:
    likely = learn(PAIRS)
    theirs = said("sunag")
    found = renamed(theirs, said("SNEG"), likely)
    assert [one.phoneme for one in found] == ["_", "S", "N", "N", "E", "G", "_"]
    assert [one.start_s for one in found] == [one.start_s for one in theirs]
    # A word that the other reading lacks is called by what is likeliest.
    lost = renamed(said("sun"), [], likely)
    assert [one.phoneme for one in lost] == ["_", "S", "V", "N", "_"]


def test_a_reading_without_words_is_aligned_as_a_whole() -> None:
    likely = learn(PAIRS)
    theirs = [Sound(one.start_s, one.phoneme, 0) for one in said("sun tag")]
    found = renamed(theirs, said("SVN TEG"), likely)
    assert "".join(one.phoneme for one in found) == "_SVNTEG_"


def test_two_readings_begin_the_same_at_times_that_belong_together() -> None:
    likely = learn(PAIRS)
    theirs, ours = said("sun tag"), said("SN  TEG")
    moved = [Sound(one.start_s + 0.5, one.phoneme, one.place) for one in ours]
    words = {"S": 0, "N": 0, "T": 4, "E": 4, "G": 4}
    moved = [Sound(one.start_s, one.phoneme, words.get(one.phoneme, 0)) for one in moved]
    found = anchors(theirs, moved, likely)
    assert [round(first, 2) for first, _ in found] == [0.1, 0.3, 0.5, 0.6, 0.7]
    assert [round(second, 2) for _, second in found] == [0.6, 0.7, 1.0, 1.1, 1.2]


def test_what_goes_back_in_time_is_left_out() -> None:
    likely = learn(PAIRS)
    theirs = said("sun")
    ours = [Sound(0.3, "S", 0), Sound(0.2, "V", 0), Sound(0.4, "N", 0)]
    assert [second for _, second in anchors(theirs, ours, likely)] == [0.3, 0.4]


def test_a_mel_is_stretched_between_times_that_belong_together() -> None:
    mel = torch.arange(50.0)[None].repeat(3, 1)  # each frame tells its number; 0.5 s
    found = features.in_step(mel, [(0.2, 0.1), (0.6, 0.4)], 100, 100.0)
    assert found.shape == (100, 3) and found.dtype == np.float16
    np.testing.assert_allclose(found[[0, 10, 20, 40, 60], 0], [0, 5, 10, 25, 40], atol=0.05)
    assert (np.diff(found[:, 0].astype(float)) >= 0).all() and found[-1, 0] <= 49
    assert (found[:, :1] == found).all()


def test_answers_are_heard_as_espeak_says_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "read_as", lambda one: tuple(said(one.text.upper())))
    monkeypatch.setattr(
        features, "speak", lambda said, rate: np.sin(np.arange(rate, dtype=np.float32) * 0.3)
    )
    path = write_corpus(tmp_path / "corpus")
    known = features.names([path])
    features.write_features(path, tmp_path, nano_config().audio, known, answers=True)
    assert (tmp_path / "answers-toy-00000.safetensors").exists()
    pairs = store.UtteranceStore(tmp_path).pairs(0, 2, torch.device("cpu"))
    loudest = pairs.heard[0].mean(1).argmax()
    (tmp_path / "answers-toy-00000.safetensors").unlink()
    features.write_features(path, tmp_path, nano_config().audio, known)
    other = store.UtteranceStore(tmp_path).pairs(0, 2, torch.device("cpu"))
    assert other.heard[0].shape == pairs.heard[0].shape == (128, 101)
    assert loudest > other.heard[0].mean(1).argmax() + 10  # its own tone, six times as high
    for one, same in zip(pairs.mels, other.mels, strict=True):
        torch.testing.assert_close(one, same)


def test_features_are_read_as_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "read_as", lambda one: tuple(said(one.text.upper())))
    path = write_corpus(tmp_path / "corpus")
    known = features.names([path])
    assert set(known) == {"toy"}
    target = features.write_features(path, tmp_path, nano_config().audio, known)
    kept = store.UtteranceStore(tmp_path)
    assert len(kept) == 2
    pairs = kept.pairs(0, 2, torch.device("cpu"))
    assert pairs.heard[0].shape == (128, 101) and pairs.mels[0].shape == (50, 80)
    names = {phoneme_class(Sound(0.0, name, 0)) for name in "SUN"} | {SILENCE}
    assert set(pairs.phonemes[0].tolist()) == names
    made = target.stat().st_mtime_ns
    assert features.write_features(path, tmp_path, nano_config().audio, known) == target
    assert target.stat().st_mtime_ns == made
