"""Speech by espeak-ng: determinism, voices, styles, level, pitch; what is heard of it."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import SPLITS
from finetune.nano.domain.styles import ASKED_STYLES
from finetune.nano.speech import synthesis
from finetune.nano.speech.augment import CLEAN, Recording, draw_recording, record
from finetune.nano.speech.drawn_voices import (
    COUNT,
    PITCH_RANGES,
    PITCHES_HZ,
    variant_file,
    variant_name,
)
from finetune.nano.speech.espeak_server import HEADER, MISSING
from finetune.nano.speech.f0 import HOP, RATE, f0_track
from finetune.nano.speech.synthesis import (
    HEARD_RATE,
    LEAD_S,
    LEVEL,
    PEAK,
    SPOKEN_RATE,
    TAIL_S,
    EspeakServer,
    Utterance,
    speak,
)
from finetune.nano.speech.voices import (
    DEFAULT_VOICE,
    DRAWN_SHARE,
    PITCHES,
    Voice,
    distinct_voices,
    draw_voice,
    families,
    voices,
)
from omni.errors import ResourceError
from tests.support.espeak import needs_espeak
from tests.support.root import ROOT

SENTENCE = {"en": "The small red circle is on the left.", "zh": "小的红色圆形在左边。"}
VARIANTS = [variant for split in SPLITS for family in families(split) for variant in family]


def said(text: str = SENTENCE["en"], voice: Voice = DEFAULT_VOICE, **mood: Any) -> Utterance:
    return Utterance(text, "en", voice, **mood)


def pitch(wave: np.ndarray) -> float:
    found = f0_track(wave)
    return float(np.median(found[found > 0]))


def seconds(wave: np.ndarray) -> float:
    return len(wave) / SPOKEN_RATE


FORKED = """
import multiprocessing
import numpy as np
from finetune.nano.speech.synthesis import speak
from tests.finetune.nano.test_synthesis import said
first = speak(said())
with multiprocessing.get_context("fork").Pool(1) as pool:
    assert np.array_equal(first, pool.apply(speak, (said(),)))
"""


@needs_espeak
def test_an_utterance_always_sounds_the_same() -> None:
    first = speak(said())
    for variant in ("klatt", "m3", "Andy"):
        speak(said("Something else.", Voice(variant, 50)))
    synthesis._native.cache_clear()
    assert np.array_equal(first, speak(said()))
    # In a process of its own: a fork of one with as many threads as the tests' may never end.
    subprocess.run([sys.executable, "-c", FORKED], cwd=ROOT, check=True, timeout=100)


@needs_espeak
@pytest.mark.parametrize("variant", VARIANTS)
def test_voices_follow_pitch_and_rate(variant: str) -> None:
    low, high = (
        speak(said("Seven yellow stars.", Voice(variant, base)))
        for base in (PITCHES[0], PITCHES[-1])
    )
    assert pitch(high) > 1.15 * pitch(low)
    quick = speak(said("Seven yellow stars.", Voice(variant, PITCHES[0]), tempo=1.3))
    assert seconds(quick) < 0.85 * seconds(low)
    for wave in (low, high, quick):
        assert np.isfinite(wave).all() and np.abs(wave).max() <= PEAK


@needs_espeak
@pytest.mark.parametrize("language", ["en", "zh"])
def test_styles_change_what_they_say(language: Language) -> None:
    plain = Utterance(SENTENCE[language], language, DEFAULT_VOICE)
    wave = speak(plain)
    styled = {name: speak(plain.styled(name)) for name in ASKED_STYLES}
    assert seconds(styled["slow"]) > 1.35 * seconds(wave)
    assert seconds(styled["fast"]) < 0.72 * seconds(wave)
    assert pitch(styled["high"]) > 1.25 * pitch(wave)
    assert pitch(styled["low"]) < 0.8 * pitch(wave)
    loudness = {name: float(np.sqrt(np.mean(styled[name] ** 2))) for name in ("soft", "loud")}
    level = float(np.sqrt(np.mean(wave**2)))
    assert loudness["soft"] < 0.4 * level and loudness["loud"] > 1.5 * level
    for name in ("soft", "loud", "slow"):
        assert pitch(styled[name]) == pytest.approx(pitch(wave), rel=0.06)


def assert_tidy(wave: np.ndarray, faintest: float) -> None:
    """Trimmed and within the peak; ``faintest``: what is heard, as a share of the loudest."""
    assert wave.dtype == np.float32 and wave.ndim == 1
    assert np.abs(wave).max() <= PEAK + 1e-6
    loud = np.flatnonzero(np.abs(wave) > faintest * np.abs(wave).max())
    assert loud[0] / SPOKEN_RATE < LEAD_S + 0.06
    assert (len(wave) - loud[-1]) / SPOKEN_RATE < TAIL_S + 0.12


def clipped(wave: np.ndarray) -> bool:
    """Whether it has a flat top; resampled, those are many values close to the peak."""
    return len(np.unique(wave[np.abs(wave) > 0.99 * np.abs(wave).max()])) > 40


@needs_espeak
def test_speech_is_trimmed_levelled_and_never_clipped() -> None:
    rng = Random(0)
    flat = set()
    for variant in (variant for family in families("train") for variant in family):
        wave = speak(said(voice=Voice(variant, 50), style=rng.choice(ASKED_STYLES)))
        assert_tidy(wave, faintest=0.03)
        if clipped(wave):
            flat.add(variant)
    assert flat <= {"Jacky"}  # whom espeak-ng itself clips
    for number in range(40):
        voice = Voice(variant_name(number), 50)
        wave = speak(said(voice=voice, style=rng.choice(ASKED_STYLES)))
        assert_tidy(wave, faintest=0.015)  # some have faint consonants
        assert not clipped(wave), voice
    plain = speak(said())
    sounding = plain[np.abs(plain) > 0.01]
    assert LEVEL / 2 < np.sqrt(np.mean(sounding**2)) < LEVEL * 2


@needs_espeak
def test_both_rates_are_the_same_speech() -> None:
    fine, coarse = speak(said(), SPOKEN_RATE), speak(said(), HEARD_RATE)
    assert len(fine) / SPOKEN_RATE == pytest.approx(len(coarse) / HEARD_RATE, abs=1e-3)
    levels = [np.sqrt(np.mean(wave**2)) for wave in (fine, coarse)]
    assert levels[0] == pytest.approx(levels[1], rel=0.02)


@needs_espeak
def test_mandarin_reads_hanzi() -> None:
    three = Utterance("三个红色的圆形", "zh", DEFAULT_VOICE)
    assert 0.8 < seconds(speak(three)) < 2.5
    # A voice that spells what it cannot read takes many times as long.
    assert seconds(speak(Utterance("首都", "zh", DEFAULT_VOICE))) < 1.0


@needs_espeak
def test_refused_requests_do_not_end_the_server() -> None:
    with pytest.raises(ValueError, match="no-such-voice"):
        speak(said(voice=Voice("no-such-voice", 50)))
    with pytest.raises(ValueError, match="nothing"):
        speak(said(" "))
    assert len(speak(said()))


def test_a_missing_espeak_names_the_package(tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(
        "import struct, sys\n"
        f"sys.stdout.buffer.write(struct.pack({HEADER!r}, {MISSING}, 4, 0) + b'gone')\n"
    )
    assert struct.calcsize(HEADER) == 12
    with pytest.raises(ResourceError, match=r"apt-get install espeak-ng") as caught:
        EspeakServer(script)
    assert caught.value.code == "espeak-missing"


def test_voices_have_sides() -> None:
    sides = [{voice.variant for voice in voices(split)} for split in SPLITS]
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
    assert DEFAULT_VOICE in voices("train")
    assert len(families("test")) >= 8
    drawn = distinct_voices(Random(1), "test", 8)
    assert len({voice.variant for voice in drawn}) == 8
    with pytest.raises(ValueError, match="families"):
        distinct_voices(Random(1), "test", 99)


def test_training_hears_drawn_voices_and_the_other_sides_none() -> None:
    rng = Random(0)
    for split, share in (("train", DRAWN_SHARE), ("validation", 0), ("test", 0)):
        drawn = [draw_voice(rng, split) for _ in range(400)]  # type: ignore[arg-type]
        files = {voice.variant for voice in drawn if variant_file(voice.variant) is not None}
        assert len(files) == pytest.approx(400 * share, abs=40)


def test_drawn_voices_are_a_function_of_their_number() -> None:
    first = variant_file(variant_name(17))
    assert first is not None and first == variant_file("drawn17")
    assert first != variant_file("drawn18")
    assert variant_file("f2") is None and variant_file("drawnings") is None
    for number in (-1, COUNT):
        with pytest.raises(ValueError, match="numbers below"):
            variant_name(number)
    low, high = (float(x) for x in re.findall(r"^pitch (\d+) (\d+)$", first, re.M)[0])
    assert PITCHES_HZ[0] <= low < high <= PITCHES_HZ[1] * PITCH_RANGES[1]


@needs_espeak
def test_drawn_voices_speak_and_no_two_alike() -> None:
    waves = [speak(said(voice=Voice(variant_name(number), 50))) for number in range(12)]
    pitches = sorted(pitch(wave) for wave in waves)
    assert pitches[0] > 60 and pitches[-1] > 1.5 * pitches[0]
    plain = speak(said())
    assert all(not np.array_equal(wave[:2000], plain[:2000]) for wave in waves)
    # Nothing stays behind: the thirteenth is that of a fresh process, and so is the next usual one.
    again = Voice(variant_name(3), 50)
    synthesis._native.cache_clear()
    np.testing.assert_array_equal(speak(said(voice=again)), waves[3])
    np.testing.assert_array_equal(speak(said()), plain)


@needs_espeak
def test_the_server_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    server = EspeakServer()
    (folder,) = tmp_path.iterdir()
    variants = folder / "espeak-ng-data" / "voices" / "!v"
    before = sorted(variants.iterdir())
    name = variant_name(5)
    request: dict[str, str | int] = {"voice": f"en-us+{name}", "text": "Hello.", "rate": 165}
    with pytest.raises(ValueError, match="no voice"):
        server.speak(**request)
    pcm, _ = server.speak(**request, variant_file=variant_file(name) or "")
    assert len(pcm) > 10_000 and sorted(variants.iterdir()) == before
    server.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("base", [60.0, 100.0, 200.0, 440.0])
def test_pitch_is_found_in_a_gliding_tone(base: float) -> None:
    times = np.arange(RATE) / RATE
    truth = base * (1 + 0.1 * np.sin(2 * np.pi * 3 * times))
    phase = 2 * np.pi * np.cumsum(truth) / RATE
    wave = sum(np.sin(k * phase) / k for k in range(1, 16)) * 0.1
    found = f0_track(np.asarray(wave, np.float32))
    assert len(found) == RATE // HOP
    middles = ((np.arange(len(found)) + 0.5) * HOP).astype(int)
    inner = slice(3, -3)
    assert (found[inner] > 0).all()
    error = np.abs(found - truth[middles]) / truth[middles]
    assert error[inner].max() < 0.02


def test_noise_and_silence_have_no_pitch() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) * 0.1
    assert (f0_track(noise) > 0).mean() < 0.02
    assert not f0_track(np.zeros(RATE, np.float32)).any()
    assert len(f0_track(np.zeros(HOP - 1, np.float32))) == 0


@needs_espeak
def test_spoken_pitch_is_smooth_and_of_the_voice() -> None:
    for variant in ("f2", "m3", "klatt2", "Annie", "Jacky"):
        found = f0_track(speak(said(voice=Voice(variant, 50))))
        both = (found[1:] > 0) & (found[:-1] > 0)
        jumps = np.abs(np.log2(found[1:][both] / found[:-1][both]))
        assert 0.4 < (found > 0).mean() < 0.95
        assert (jumps > 0.5).mean() < 0.04, variant


def tone(seconds_: float = 1.0) -> np.ndarray:
    steps = np.arange(round(seconds_ * HEARD_RATE)) / HEARD_RATE
    return (0.2 * np.sin(2 * np.pi * 1000 * steps)).astype(np.float32)


def test_recordings_repeat_by_seed_and_stay_in_range() -> None:
    wave = tone()
    for seed in range(40):
        heard = record(wave, draw_recording(seed))
        assert np.array_equal(heard, record(wave, draw_recording(seed)))
        assert heard.dtype == np.float32 and np.abs(heard).max() <= 1
        assert len(heard) >= len(wave)
    assert draw_recording(1) != draw_recording(2)
    assert record(wave, CLEAN) is wave


def test_a_recording_does_what_it_says() -> None:
    wave = tone()
    quiet = record(wave, Recording(gain_db=-20))
    assert np.std(quiet) == pytest.approx(np.std(wave) / 10, rel=0.02)
    padded = record(wave, Recording(lead_s=0.25, tail_s=0.5))
    assert len(padded) == len(wave) + round(0.75 * HEARD_RATE)
    assert np.abs(padded[: HEARD_RATE // 5]).max() < 0.01
    noisy = record(wave, Recording(noise_db=20))
    assert 20 * np.log10(np.std(wave) / np.std(noisy - wave)) == pytest.approx(20, abs=0.5)
    white = np.random.default_rng(0).standard_normal(HEARD_RATE).astype(np.float32) * 0.1
    dull = np.abs(np.fft.rfft(record(white, Recording(cutoff=4000))))
    assert dull[5000:].mean() < 0.02 * dull[:3500].mean()
    click = np.zeros(HEARD_RATE, np.float32)
    click[100] = 0.5
    room = record(click, Recording(reverb_s=0.3, reverb_db=-10))
    assert np.sum(room[200:5000] ** 2) == pytest.approx(0.25 * 0.1, rel=0.3)
