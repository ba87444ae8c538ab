"""Recordings that can be used as a voice, and sentences for those that cannot."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from omni.errors import MediaError, VoiceError
from omni.listening import reference_check
from omni.listening.reference_check import (
    FRAME,
    MARGIN_S,
    PEAK,
    PLACES,
    RATE,
    SPEECH_DB,
    check_voice,
    usable_voice,
)
from omni.media import audio
from omni.media.sound_blocks import SoundBlock
from tests.support.root import DATA, ROOT

SPEECH = DATA / "speech.ogg"  # espeak-ng: 8 s between 0.8 and 1 s of silence


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """float32 (samples,) with the loudness changes of speech, highest value 0.5."""
    samples = round(seconds * RATE)
    loudness = 0.3 + np.abs(np.sin(np.arange(samples) / 3000))
    wave = np.random.default_rng(seed).normal(size=samples) * loudness
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def loud_is_speech(frames: np.ndarray) -> np.ndarray:
    """A detector for the tests: every frame that is not silent is speech."""
    return (np.abs(frames.reshape(-1, FRAME)).max(axis=1) > 1e-3).astype(float)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def db(wave: np.ndarray) -> float:
    return 20 * float(np.log10(np.sqrt(np.mean(wave**2))))


def test_silence_at_both_ends_is_cut_and_the_speech_levelled() -> None:
    speech = noise(5)
    sample = usable_voice(np.concatenate([silence(2), 0.1 * speech, silence(3)]), loud_is_speech)
    assert sample.seconds == pytest.approx(5 + 2 * MARGIN_S, abs=2 * FRAME / RATE)
    assert sample.speech_s == pytest.approx(5, abs=2 * FRAME / RATE)
    inside = sample.samples[round(0.3 * RATE) : -round(0.3 * RATE)]
    assert db(inside) == pytest.approx(SPEECH_DB, abs=0.5)


def test_however_loud_it_was_the_result_is_the_same() -> None:
    speech = np.concatenate([silence(1), noise(4), silence(1)])
    loud, soft = (usable_voice(gain * speech, loud_is_speech).samples for gain in (1.0, 0.1))
    np.testing.assert_allclose(loud, soft, atol=1e-5)


def test_a_peak_limits_the_level() -> None:
    speech = 0.1 * noise(4)
    speech[30_000] = 0.9
    sample = usable_voice(speech, loud_is_speech)
    assert np.abs(sample.samples).max() == pytest.approx(PEAK, abs=1e-3)


def refused(wave: np.ndarray, code: str, hear: Callable = loud_is_speech) -> VoiceError:
    with pytest.raises(VoiceError) as raised:
        usable_voice(wave, hear)
    assert raised.value.code == code
    return raised.value


def test_each_failed_check_has_its_sentence() -> None:
    assert "2.2 s" in str(refused(np.concatenate([silence(4), noise(2)]), "voice-short"))
    assert "30 s" in str(refused(noise(31), "voice-long"))
    assert "1.3 s" in str(
        refused(
            np.concatenate([noise(0.64), silence(3), noise(0.64)]),
            "voice-little-speech",
        )
    )
    refused(0.02 * noise(5), "voice-quiet")
    refused(np.clip(8 * noise(5), -0.5, 0.5), "voice-clipped")
    refused(noise(5), "voice-no-speech", lambda frames: np.zeros(frames.size // FRAME))


def test_length_counts_after_trimming() -> None:
    usable_voice(np.concatenate([silence(40), noise(5)]), loud_is_speech)
    refused(np.concatenate([silence(10), noise(2.5)]), "voice-short")


def test_clicks_are_no_speech() -> None:
    clicks = silence(6)
    clicks[[RATE, 3 * RATE, 5 * RATE]] = 0.5
    refused(clicks, "voice-no-speech")


def test_clipping_is_found_at_any_level_and_speech_is_not_suspected() -> None:
    samples, rate = soundfile.read(SPEECH, dtype="float32")
    assert rate == RATE
    usable_voice(samples, loud_is_speech)
    highest = np.abs(samples).max()
    for over in (3, 5, 8):
        for level in (1.0, 0.3):
            clipped = level * np.clip(over * samples / highest, -1, 1)
            refused(clipped.astype(np.float32), "voice-clipped")


def test_real_speech_is_found_by_the_real_detector(tmp_path: Path) -> None:
    sample = check_voice(SPEECH)
    assert 7.5 < sample.seconds < 8.5
    assert sample.speech_s > 5
    path = tmp_path / "voice.wav"
    sample.save(path)
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "PCM_16")


def test_a_tone_is_no_speech_for_the_real_detector(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    time_s = np.arange(5 * RATE) / RATE
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * time_s), RATE)
    with pytest.raises(VoiceError) as raised:
        check_voice(path)
    assert raised.value.code == "voice-no-speech"


def test_silence_and_broken_files_are_told_as_everywhere(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "still.wav", silence(5), RATE)
    (tmp_path / "text.wav").write_text("no sound")
    for name, code in (("still.wav", "audio-silent"), ("text.wav", "audio-unreadable")):
        with pytest.raises(MediaError) as raised:
            check_voice(tmp_path / name)
        assert raised.value.code == code


def test_hours_are_refused_without_listening(tmp_path: Path) -> None:
    def never(frames: np.ndarray) -> np.ndarray:
        raise AssertionError("nobody should listen to this")

    soundfile.write(tmp_path / "long.wav", np.tile(noise(10), 31), RATE)
    with pytest.raises(VoiceError) as raised:
        check_voice(tmp_path / "long.wav", never)
    assert raised.value.code == "voice-much-longer"


def test_a_recording_that_is_much_too_long_is_not_decoded_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_check, "LONGEST_LOOKED_AT_S", 20.0)
    decoded: list[float] = []
    blocks = audio.sound_blocks

    def counted(*arguments: Any) -> Iterator[SoundBlock]:
        for block in blocks(*arguments):
            decoded.append(len(block.samples) / block.rate)
            yield block

    monkeypatch.setattr(audio, "sound_blocks", counted)
    soundfile.write(tmp_path / "long.flac", noise(200), RATE)
    with pytest.raises(VoiceError) as raised:
        check_voice(tmp_path / "long.flac", loud_is_speech)
    assert raised.value.code == "voice-much-longer"
    assert sum(decoded) < 60


def test_many_checks_wait_for_one_another_and_the_rest_is_sent_away(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "voice.wav", noise(5), RATE)
    under_way, most, lock = 0, 0, threading.Lock()
    full = threading.Event()

    def slow(frames: np.ndarray) -> np.ndarray:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        full.wait(20)
        with lock:
            under_way -= 1
        return loud_is_speech(frames)

    def check() -> str:
        try:
            check_voice(tmp_path / "voice.wav", slow)
        except VoiceError as error:
            return error.code
        return "usable"

    with ThreadPoolExecutor(40) as pool:
        results = [pool.submit(check) for _ in range(40)]
        deadline = time.monotonic() + 20
        while sum(result.done() for result in results) < 40 - PLACES:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        full.set()
    codes = [result.result() for result in results]
    assert most == 1
    assert codes.count("usable") == PLACES
    assert codes.count("voice-busy") == 40 - PLACES
    assert check() == "usable"


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, omni.listening.reference_check; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
