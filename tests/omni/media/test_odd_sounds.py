"""Sound files as other programs write them and as bad networks leave them."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import soundfile

from omni.errors import MediaError
from omni.media import audio, limits
from omni.media.audio import MODEL_RATE, read_sound, read_waveform
from omni.media.bare_frames import is_cut_short
from omni.media.container import has_sound
from omni.media.limits import DecodingStopped, MediaLimits, Watch
from omni.media.ogg_pages import lacks_pages
from tests.support.media_files import error_of, tone, write_sound
from tests.support.odd_files import packed_sound, wav_of_size, with_damage
from tests.support.root import ROOT


def seconds(path: Path) -> float:
    return read_waveform(path).size / MODEL_RATE


@pytest.mark.parametrize("size", [0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF, 32_016, 0])
def test_a_size_that_cannot_be_means_until_the_end(tmp_path: Path, size: int) -> None:
    sound = read_sound(wav_of_size(tmp_path / "a.wav", size))
    assert sound.samples.size == MODEL_RATE
    assert not sound.damaged


def test_half_a_wav_is_heard_as_far_as_it_goes_and_said_to_be_damaged(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", tone(3.0))
    assert not read_sound(path).damaged
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    sound = read_sound(path)
    assert sound.samples.size == pytest.approx(24_000, abs=100)
    assert sound.damaged


@pytest.mark.parametrize("name", ["a.raw", "a.mp3", "a.txt", "a"])
def test_a_wav_by_another_name(tmp_path: Path, name: str) -> None:
    path = write_sound(tmp_path / "a.wav", tone(1.0)).rename(tmp_path / name)
    assert seconds(path) == 1.0


@pytest.mark.parametrize("kind", ["mp3", "ogg", "adts"])
def test_two_recordings_in_one_file_are_both_heard(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"joined.{kind}"
    path.write_bytes(packed_sound(kind, 1.5) + packed_sound(kind, 2.0))
    sound = read_sound(path)
    assert sound.samples.size / MODEL_RATE == pytest.approx(3.5, abs=0.15)
    assert not sound.damaged


def test_rate_and_channels_may_change_inside(tmp_path: Path) -> None:
    path = tmp_path / "a.aac"
    path.write_bytes(packed_sound("adts", 1.5) + packed_sound("adts", 2.0, 48_000, 2))
    waveform = read_waveform(path)
    assert waveform.size / MODEL_RATE == pytest.approx(3.5, abs=0.15)
    halves = waveform[MODEL_RATE // 2 : MODEL_RATE], waveform[-2 * MODEL_RATE : -MODEL_RATE]
    for half in halves:  # the tone of 440 Hz in both
        spectrum = np.abs(np.fft.rfft(half * np.hanning(half.size)))
        assert spectrum.argmax() * MODEL_RATE / half.size == pytest.approx(440, abs=3)


@pytest.mark.parametrize(("kind", "at"), [("mp3", 0.5), ("adts", 0.5), ("mp4", 0.4)])
def test_what_follows_a_damaged_packet_is_heard(tmp_path: Path, kind: str, at: float) -> None:
    whole = packed_sound(kind, 6.0)
    path = tmp_path / f"a.{kind}"
    path.write_bytes(whole)
    before = read_sound(path)
    path.write_bytes(with_damage(whole, at))
    sound = read_sound(path)
    assert sound.damaged and not before.damaged
    assert sound.samples.size == pytest.approx(before.samples.size, abs=0.25 * MODEL_RATE)
    assert np.abs(sound.samples[-MODEL_RATE // 2 :]).max() > 0.1


def noisy_ogg(seconds: float) -> bytes:
    """Noise takes many pages."""
    target = io.BytesIO()
    noise = 0.3 * np.random.default_rng(5).standard_normal(round(seconds * 44_100))
    soundfile.write(target, noise, 44_100, format="OGG")
    return target.getvalue()


@pytest.mark.parametrize("at", [0.3, 0.5, 0.8])
def test_a_damaged_page_of_ogg_is_told_and_keeps_its_place(tmp_path: Path, at: float) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(with_damage(noisy_ogg(6.0), at, 20))
    sound = read_sound(path)
    assert sound.damaged
    assert sound.samples.size / MODEL_RATE == pytest.approx(6.0, abs=0.1)
    assert np.abs(sound.samples[-MODEL_RATE // 2 :]).max() > 0.1


def test_pages_of_ogg_are_looked_at(tmp_path: Path) -> None:
    whole, path, watch = noisy_ogg(6.0), tmp_path / "a.ogg", Watch("a.ogg")
    middle = whole.index(b"OggS", len(whole) // 2)
    after = whole.index(b"OggS", middle + 4)
    for content, lacks in (
        (whole, False),
        (whole + whole, False),
        (whole + b"TAG" + bytes(125), False),
        (whole[: len(whole) // 2], True),
        (whole[:middle] + whole[after:], True),
        (whole[:-100] + bytes(100), True),
    ):
        path.write_bytes(content)
        assert lacks_pages(path, watch) is lacks, len(content)


@pytest.mark.parametrize(("kind", "start"), [("adts", 0), ("mp3", 500)])
def test_a_bare_stream_that_breaks_off_is_told(tmp_path: Path, kind: str, start: int) -> None:
    content = packed_sound(kind, 4.0)[start:]
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content)
    assert not read_sound(path).damaged
    path.write_bytes(content[: len(content) // 2])
    sound = read_sound(path)
    assert sound.damaged
    assert sound.samples.size / MODEL_RATE == pytest.approx(2.0, abs=0.2)


def test_frames_say_how_long_they_are() -> None:
    layer_3 = bytes([0xFF, 0xFB, 0x90, 0x64])  # MPEG 1, 128 kbit/s, 44.1 kHz: 417 bytes
    assert not is_cut_short(layer_3 + bytes(413)) and is_cut_short(layer_3 + bytes(412))
    adts = bytes([0xFF, 0xF1, 0x50, 0x40, 0x33, 0x9F, 0xFC])  # 412 bytes
    assert not is_cut_short(adts + bytes(405)) and is_cut_short(adts + bytes(404))
    assert not is_cut_short(b"") and not is_cut_short(bytes(100))


def test_a_sound_track_of_no_known_codec_is_unreadable_and_not_absent(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(packed_sound("mp4", 1.0).replace(b"mp4a", b"zz9z").replace(b"esds", b"free"))
    assert has_sound(path)
    assert error_of(lambda: read_sound(path)).code == "audio-unreadable"


@pytest.mark.parametrize("kind", ["mp3", "mp4"])
def test_half_of_what_says_its_length_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    content = packed_sound(kind, 6.0)
    path.write_bytes(content[: len(content) // 2])
    assert error_of(lambda: read_sound(path)).code in {"audio-cut-off", "audio-unreadable"}


def test_channels_that_cancel_each_other_are_heard(tmp_path: Path) -> None:
    left = tone(1.0)
    path = write_sound(tmp_path / "a.flac", np.concatenate([left, -left], axis=1))
    waveform = read_waveform(path)
    assert np.abs(waveform - left[:, 0]).max() < 1e-3


def test_channels_that_differ_are_averaged_still(tmp_path: Path) -> None:
    left, right = tone(1.0), 0.5 * tone(1.0)
    path = write_sound(tmp_path / "a.flac", np.concatenate([left, -right], axis=1))
    assert np.abs(read_waveform(path) - 0.25 * left[:, 0]).max() < 1e-3


@pytest.mark.parametrize("value", [1e30, -3e38, 200.0])
def test_numbers_that_are_no_sound(tmp_path: Path, value: float) -> None:
    samples = tone(1.0)
    samples[500] = value
    path = write_sound(tmp_path / "a.wav", samples, subtype="FLOAT")
    assert error_of(lambda: read_sound(path)).code == "audio-broken"


@pytest.mark.parametrize("channels", [33, 255])
def test_very_many_channels_are_refused(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((1600, channels), np.float32), 16_000)
    error = error_of(lambda: read_sound(path))
    assert error.code == "audio-too-many-channels"
    assert error.params["channels"] == channels


@pytest.mark.parametrize("channels", [8, 9, 16, 32])
def test_many_channels_are_heard(tmp_path: Path, channels: int) -> None:
    """More than the eight whose planes FFmpeg keeps in the frame itself, in a lossy format, which
    is decoded plane by plane: read as planes they ended the process.
    """
    path, only = tmp_path / "a.ogg", np.zeros((16_000, channels), np.float32)
    only[:, channels // 2 :] = tone(1.0)
    soundfile.write(path, only, 16_000, format="OGG")
    for _ in range(20):
        waveform = read_waveform(path)
    heard = waveform[: len(only)]
    assert np.abs(heard - only.mean(axis=1)).max() < 0.05


def test_a_stop_ends_the_decoding(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", tone(1.0))
    stop = Event()
    stop.set()
    with pytest.raises(DecodingStopped):
        read_sound(path, stop=stop)


def test_the_time_of_decoding_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: now[0])
    watch = Watch("a.mp3")
    watch.check()
    now[0] = MediaLimits().decode_s + 1
    with pytest.raises(MediaError, match="too long to decode"):
        watch.check()


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_sound(tmp_path / "a.wav", tone(1.0))
    monkeypatch.setattr("omni.media.files.limits", lambda: MediaLimits(file_bytes=10_000))
    assert error_of(lambda: read_sound(path)).code == "media-too-large"


def test_limits_are_those_of_the_process() -> None:
    before = limits.limits()
    try:
        limits.set_limits(limits.SHARED)
        assert audio.limits() is limits.SHARED
    finally:
        limits.set_limits(before)


def test_many_channels_need_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((16_000 * 20, 32), np.int16), 16_000)
    code = (
        "import resource, sys; from omni.media.audio import read_sound\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "read_sound(sys.argv[1])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(run.stdout) < 100_000  # kB
