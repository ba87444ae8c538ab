"""What is said of a recording that can be used and may be bad all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from omni.listening import reference_doubts
from omni.listening.gallery import gallery
from omni.listening.reference_doubts import doubts, stands_out_db, two_voices
from omni.listening.settings import RATE
from tests.support.root import DATA

CUT = 0.36  # of the samples of speech


def heard(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32")
    return soxr.resample(samples, rate, RATE).astype(np.float32)


SPEECH = heard(DATA / "speech.ogg")


def talking(waveform: np.ndarray) -> np.ndarray:
    """The louder half of it."""
    frames = waveform[: waveform.size // 512 * 512].reshape(-1, 512)
    energy = np.mean(frames**2, axis=1)
    return frames[energy >= np.median(energy)].ravel()


@pytest.mark.parametrize("voice", [None, *gallery()], ids=lambda one: one.id if one else "person")
def test_a_good_recording_raises_no_doubt(voice: object) -> None:
    waveform = SPEECH if voice is None else heard(voice.path)  # type: ignore[attr-defined]
    assert doubts(waveform, talking(waveform)) == ()


def test_what_was_cut_is_seen_also_behind_a_codec(tmp_path: Path) -> None:
    height = np.quantile(np.abs(talking(SPEECH)), 1 - CUT)
    cut = np.clip(SPEECH, -height, height) / height
    file = tmp_path / "cut.mp3"
    soundfile.write(file, 0.8 * cut, RATE, format="MP3", subtype="MPEG_LAYER_III")
    for waveform in (cut, heard(file)):
        assert "clipped" in doubts(waveform, talking(waveform))


@pytest.mark.parametrize(("snr_db", "noisy"), [(-3, True), (3, True), (30, False)])
def test_noise_as_loud_as_the_voice_is_seen(snr_db: float, noisy: bool) -> None:
    level = np.sqrt(np.mean(talking(SPEECH) ** 2)) * 10 ** (-snr_db / 20)
    noise = np.random.default_rng(1).standard_normal(SPEECH.size) * level
    waveform = (SPEECH + noise).astype(np.float32)
    assert ("noisy" in doubts(waveform, talking(waveform))) is noisy
    assert (stands_out_db(waveform) < reference_doubts.STANDS_OUT_DB) is noisy


def test_two_people_of_different_pitch_are_seen() -> None:
    by_id = {voice.id: heard(voice.path)[: 5 * RATE] for voice in gallery()}
    for other in ("anna", "emma", "mei"):
        assert two_voices(np.concatenate([by_id["ben"], by_id[other]]))


@pytest.mark.parametrize("size", [0, 100, RATE])
def test_short_and_silent_sounds_are_no_trouble(size: int) -> None:
    assert not two_voices(np.zeros(size, np.float32))
