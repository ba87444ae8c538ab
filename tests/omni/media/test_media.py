"""Sound files of all kinds, and files that are none (see test_image.py, test_video.py)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from omni.config import AudioConfig
from omni.errors import MediaError
from omni.media import audio, sound_blocks
from omni.media.audio import MODEL_RATE, audio_pieces, check_audible, read_waveform
from omni.media.container import duration, has_sound, open_container
from omni.media.image import read_image
from omni.media.limits import MediaLimits
from tests.support.media_files import error_of, tone, write_clip, write_sound, write_track

SOUND = AudioConfig()


@pytest.mark.parametrize(
    ("name", "subtype", "noise"),
    [
        ("a.wav", "PCM_U8", 1e-2),
        ("a.wav", "PCM_16", 1e-4),
        ("a.wav", "PCM_24", 1e-6),
        ("a.wav", "PCM_32", 1e-7),
        ("a.wav", "FLOAT", 1e-7),
        ("a.wav", "DOUBLE", 1e-7),
        ("a.wav", "ULAW", 2e-2),
        ("a.flac", "PCM_16", 1e-4),
        ("a.aiff", "PCM_16", 1e-4),
        ("a.ogg", "VORBIS", 3e-2),
        ("a.mp3", None, 3e-2),
    ],
)
def test_kinds_of_libsndfile(tmp_path: Path, name: str, subtype: str | None, noise: float) -> None:
    samples = tone(1.0)
    waveform = read_waveform(write_sound(tmp_path / name, samples, subtype=subtype))
    assert waveform.dtype == np.float32
    assert abs(waveform.size - MODEL_RATE) <= 1152
    inside = slice(2000, 14_000)
    assert np.abs(waveform[inside] - samples[inside, 0]).max() < noise


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.m4a", "aac"),
        ("a.mp4", "aac"),
        ("a.webm", "libopus"),
        ("a.mkv", "pcm_s16le"),
        ("a.mov", "pcm_s24le"),
        ("a.opus", "libopus"),
        ("a.aac", "aac"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_kinds_of_pyav(tmp_path: Path, name: str, codec: str, channels: int) -> None:
    samples = tone(1.0, 48_000, channels)
    waveform = read_waveform(write_track(tmp_path / name, samples, 48_000, codec))
    assert abs(waveform.size - MODEL_RATE) < 0.1 * MODEL_RATE
    spectrum = np.abs(np.fft.rfft(waveform[4000:12_000]))
    assert spectrum.argmax() * MODEL_RATE / 8000 == pytest.approx(440, abs=2)
    level = np.sqrt(np.square(waveform[4000:12_000]).mean())
    assert level == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_int16_is_scaled_by_its_full_range(tmp_path: Path) -> None:
    values = np.array([-32768, -16384, 0, 1, 32767] * 400, np.int16)
    waveform = read_waveform(write_sound(tmp_path / "a.wav", values))
    assert np.array_equal(waveform, values.astype(np.float32) / 32768)


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_resampling_in_blocks_is_resampling_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int
) -> None:
    draws = np.random.default_rng(rate)
    samples = draws.uniform(-0.5, 0.5, (rate + 77, 2)).astype(np.float32)
    path = write_sound(tmp_path / "a.wav", samples, rate, "FLOAT")
    whole = read_waveform(path)
    assert whole.size == -(-len(samples) * MODEL_RATE // rate)
    expected = soxr.resample(samples, rate, MODEL_RATE, quality="HQ").mean(axis=1)
    shared = min(expected.size, whole.size)
    assert np.abs(whole[:shared] - expected[:shared]).max() < 1e-6
    monkeypatch.setattr(sound_blocks, "BLOCK_VALUES", 2000)
    assert np.abs(read_waveform(path) - whole).max() < 1e-6


def test_another_rate_can_be_asked_for(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", tone(1.0))
    assert read_waveform(path, rate=24_000).size == 24_000


def test_channels_are_averaged(tmp_path: Path) -> None:
    samples = np.stack([tone(0.2)[:, 0] * level for level in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)], 1)
    waveform = read_waveform(write_sound(tmp_path / "six.wav", samples, subtype="FLOAT"))
    assert np.abs(waveform - samples.mean(axis=1)).max() < 1e-6


def test_the_sound_of_a_clip(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", np.arange(60) / 30, sound=True)
    assert has_sound(clip)
    assert read_waveform(clip).size == pytest.approx(2 * MODEL_RATE, abs=1000)


def test_a_silent_film(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", np.arange(30) / 30)
    assert not has_sound(clip)
    with open_container(clip) as container:
        assert duration(container) == pytest.approx(1.0, abs=0.05)
    assert error_of(lambda: read_waveform(clip)).code == "audio-absent"


def test_a_browser_recording_has_no_duration(tmp_path: Path) -> None:
    path = write_track(
        tmp_path / "a.webm", tone(1.0, 48_000), 48_000, "libopus", options={"live": "1"}
    )
    with open_container(path) as container:
        assert duration(container) is None
    assert read_waveform(path).size == pytest.approx(MODEL_RATE, abs=1000)


@pytest.mark.parametrize("samples", [1, 480, 959])
def test_too_short(tmp_path: Path, samples: int) -> None:
    path = write_sound(tmp_path / "a.wav", tone(1.0)[:samples])
    assert error_of(lambda: read_waveform(path)).code == "audio-too-short"


def test_the_shortest_sound_is_one_code(tmp_path: Path) -> None:
    waveform = read_waveform(write_sound(tmp_path / "a.wav", tone(1.0)[:960]))
    assert [piece.bridge_length for piece in audio_pieces(waveform, SOUND)] == [1]


def test_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "limits", lambda: MediaLimits(seconds=60.0))
    path = write_sound(tmp_path / "a.wav", np.zeros(61 * 8000, np.int16), 8000)
    error = error_of(lambda: read_waveform(path))
    assert error.code == "audio-too-long"
    assert error.params["minutes"] == 1


def silence(level: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(-level, level, 16_000).astype(np.float32)


@pytest.mark.parametrize("waveform", [silence(0), silence(3e-5), silence(0) + 0.3])
def test_silence_is_not_audible(waveform: np.ndarray) -> None:
    assert error_of(lambda: check_audible(waveform, "me.wav")).code == "audio-silent"


def test_a_whisper_is_audible() -> None:
    check_audible(silence(1e-3), "me.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_sound(tmp_path: Path, value: float) -> None:
    samples = tone(1.0)
    samples[500] = value
    path = write_sound(tmp_path / "a.wav", samples, subtype="FLOAT")
    assert error_of(lambda: read_waveform(path)).code == "audio-broken"


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("a.flac", {"audio-cut-off", "audio-unreadable"}),
        ("a.m4a", {"audio-unreadable"}),
        ("a.mkv", {"audio-cut-off"}),
    ],
)
def test_half_a_file(tmp_path: Path, name: str, codes: set[str]) -> None:
    path = tmp_path / name
    samples = tone(3.0) + np.random.default_rng(0).normal(0, 0.01, (48_000, 1)).astype(np.float32)
    if path.suffix in (".wav", ".flac"):
        write_sound(path, samples)
    else:
        write_track(path, samples, 16_000, "aac")
    assert read_waveform(path).size == pytest.approx(48_000, abs=2000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert error_of(lambda: read_waveform(path)).code in codes


def test_a_wav_that_was_written_to_a_pipe(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "a.wav", tone(1.0))
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(content))
    assert read_waveform(path).size == MODEL_RATE


READERS = [read_waveform, read_image, has_sound]


@pytest.mark.parametrize("reader", READERS)
def test_no_file(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    assert error_of(lambda: reader(tmp_path / "none.wav")).code == "media-missing"
    assert error_of(lambda: reader(tmp_path)).code == "media-missing"


@pytest.mark.parametrize("reader", READERS)
def test_an_empty_file(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert error_of(lambda: reader(path)).code == "media-empty"


GARBAGE = {
    "text.wav": b"hello, this is no recording at all\n" * 20,
    "noise.mp3": np.random.default_rng(3).bytes(20_000),
    "zeros.png": bytes(5000),
    "{braces}.jpg": b"\xff\xd8\xff\xe0 nothing more",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_something_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(GARBAGE[name])
    sound, picture = error_of(lambda: read_waveform(path)), pytest.raises(MediaError)
    assert sound.code == "audio-unreadable"
    assert name in str(sound)
    with picture as caught:
        read_image(path)
    assert caught.value.code in ("image-unreadable", "image-broken")
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{path}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{path}'\n",
        "v=0\nc=IN IP4 127.0.0.1\nm=audio 5000 RTP/AVP 0\n",
    ],
)
@pytest.mark.parametrize("suffix", [".m3u8", ".mp4", ".wav"])
def test_a_playlist_opens_no_other_file(tmp_path: Path, playlist: str, suffix: str) -> None:
    secret = write_sound(tmp_path / "secret.wav", tone(1.0))
    path = tmp_path / f"list{suffix}"
    path.write_text(playlist.format(path=secret), encoding="utf-8")
    assert error_of(lambda: read_waveform(path)).code == "audio-unreadable"
    assert error_of(lambda: has_sound(path)).code == "media-unreadable"


@pytest.fixture(scope="module")
def real() -> list[Path]:
    folder = os.environ.get("OMNI_MEDIA")
    if folder is None:
        pytest.skip("set OMNI_MEDIA to a folder of recordings and pictures")
    return sorted(Path(folder).iterdir())


def test_real_recordings(real: list[Path]) -> None:
    recordings = [path for path in real if path.suffix == ".wav"]
    assert recordings
    for path in recordings:
        waveform = read_waveform(path)
        check_audible(waveform, path.name)
        info = soundfile.info(path)
        assert waveform.size == -(-info.frames * MODEL_RATE // info.samplerate)
        codes = sum(piece.bridge_length for piece in audio_pieces(waveform, SOUND))
        assert codes == pytest.approx(12.5 * info.duration, abs=2)
