"""Texts, voices and readings are compared as a person would."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality import quality_rows, scoring
from benchmarks.quality.held_out import (
    cloning,
    styled_system,
)
from benchmarks.quality.scoring import Score, score, style_met
from finetune.measures.likeness import (
    cepstra,
    duration,
    nearest,
    nearest_voice,
    pitch,
    voice_print,
    warped_distances,
)
from finetune.measures.texts import exact, normalised
from finetune.nano.speech.synthesis import Utterance
from omni.conversation import (
    DEFAULT_SYSTEM_TEXT,
)
from omni.events import SPEECH_RATE
from tests.support.toy_speech import toy_speech


def test_what_counts_as_exact() -> None:
    assert normalised(" A  Red circle. ") == "a red circle"
    assert exact("a red circle", "A red circle.") and exact("三个。", "三个")
    assert exact("ＯＫ！", "ok") and not exact("a red circle", "a red circles")
    assert not exact("yes, a cat", "yes a cat") and not exact("", "no")
    assert normalised("?!") == ""
    assert score([True, False, True]) == Score(2, 3)
    assert Score(3, 4).percent == 75 and str(Score(3, 4)) == "3 of 4" and Score(0, 0).percent == 0


def test_styles_are_measured_against_the_plain_reading() -> None:
    plain = Utterance("the cat is under the table", "en", quality_rows.DEFAULT_VOICE)
    usual = toy_speech(plain)
    for style in scoring.MEASURED_STYLES:
        assert style_met(style, toy_speech(plain.styled(style)), usual)
        assert not style_met(style, usual, usual)
    assert not style_met("slow", toy_speech(plain.styled("fast")), usual)
    assert not style_met("high", toy_speech(plain.styled("low")), usual)
    nothing = np.zeros(0, np.float32)
    assert not style_met("fast", nothing, usual) and not style_met("slow", usual, nothing)
    with pytest.raises(ValueError, match="soft"):
        style_met("soft", usual, usual)
    assert styled_system("slow", 0, "en").startswith(DEFAULT_SYSTEM_TEXT)
    assert len({styled_system("slow", number, "zh") for number in range(6)}) == 3


def test_warping_finds_the_same_sounds_at_another_pace() -> None:
    rng = np.random.default_rng(0)
    sounds = [rng.standard_normal((30 + 5 * n, 13)).astype(np.float32) for n in range(6)]
    for place, sound in enumerate(sounds):
        stretched = np.repeat(sound, rng.integers(1, 4, len(sound)), axis=0)
        far = warped_distances(stretched, sounds)
        assert far[place] == pytest.approx(0, abs=2e-3) and nearest(stretched, sounds) == place
    alone = [warped_distances(sounds[0], [other])[0] for other in sounds]
    assert np.allclose(alone, warped_distances(sounds[0], sounds), atol=2e-3)  # padding is unseen
    assert np.allclose(
        alone, [warped_distances(other, sounds[:1])[0] for other in sounds], atol=2e-3
    )


def test_warping_by_hand() -> None:
    # |0-0| twice, |2-0| once more or diagonally twice: 2 either way; over 2 + 1 frames.
    first = np.array([[0.0], [2.0]], np.float32)
    assert warped_distances(first, [np.zeros((1, 1), np.float32)])[0] == pytest.approx(2 / 3)
    # (0,0) costs 2 * 1, the step to (1,1) costs 2 * 1.
    assert warped_distances(first, [first + 1])[0] == pytest.approx(
        min(2 * 1 + 2 * 1, 2 * 1 + 1 + 1) / 4
    )


def test_cepstra_know_no_level() -> None:
    wave = toy_speech(Utterance("a blue ball", "en", quality_rows.DEFAULT_VOICE))
    assert np.allclose(cepstra(wave), cepstra(0.5 * wave), atol=0.01)
    assert cepstra(np.zeros(0, np.float32)).shape[1] == 13


def test_pitch_and_duration() -> None:
    time = np.arange(SPEECH_RATE) / SPEECH_RATE
    hum = sum(np.sin(2 * np.pi * 180 * k * time) / k for k in range(1, 15)).astype(np.float32)
    assert pitch(0.2 * hum) == pytest.approx(180, rel=0.02)
    padded = np.pad(0.2 * hum, (9000, 12_000))
    assert duration(padded) == pytest.approx(1.12, abs=0.03)  # 0.12 s of silence is kept
    assert pitch(np.zeros(9000, np.float32)) == 1.0 and duration(np.zeros(0, np.float32)) == 0.2


def test_the_nearest_voice() -> None:
    known = [
        toy_speech(Utterance("one two three", "en", v)) for v in cloning(3, "en", "core").voices
    ]
    prints = [voice_print(wave) for wave in known]
    for place, wave in enumerate(known):
        assert nearest_voice(voice_print(0.7 * wave), prints) == place
