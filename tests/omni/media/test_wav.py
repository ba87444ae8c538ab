"""The one writer of WAV files: its three forms, and that its samples are libsndfile's."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from omni.events import SPEECH_RATE
from omni.media.wav import WavWriter, as_int16, wav_bytes, write_wav
from tests.support.root import ROOT

EDGES = np.array([-2, -1, -1e-9, 0, 1e-9, 0.99999, 1, 2], np.float32)


def read(wav: bytes | Path) -> tuple[np.ndarray, int]:
    samples, rate = soundfile.read(
        io.BytesIO(wav) if isinstance(wav, bytes) else wav, dtype="int16"
    )
    return samples, rate


def test_float_samples_become_the_same_as_with_libsndfile(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).uniform(-1.1, 1.1, 20_000).astype(np.float32)
    sound = np.concatenate([EDGES, drawn, drawn / 1000])
    soundfile.write(tmp_path / "theirs.wav", sound, 16_000, "PCM_16")
    write_wav(tmp_path / "ours.wav", sound, 16_000)
    assert np.array_equal(read(tmp_path / "ours.wav")[0], read(tmp_path / "theirs.wav")[0])


def test_what_was_int16_once_is_it_again() -> None:
    whole = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(as_int16(whole.astype(np.float32) / 32768), whole)
    assert as_int16(whole) is whole


def test_other_numbers_are_no_samples() -> None:
    with pytest.raises(TypeError, match="int32"):
        wav_bytes(np.zeros(3, np.int32))


@pytest.mark.parametrize("rate", [SPEECH_RATE, 16_000])
def test_bytes_file_and_stream_are_the_same(tmp_path: Path, rate: int) -> None:
    sound = np.arange(-1500, 1500, dtype=np.int16)
    data = wav_bytes(sound, rate)
    write_wav(tmp_path / "whole.wav", sound, rate)
    with WavWriter(tmp_path / "stream.wav", rate) as file:
        for part in np.split(sound, 3):
            file.write(part)
    assert (tmp_path / "whole.wav").read_bytes() == data
    assert (tmp_path / "stream.wav").read_bytes() == data
    samples, found = read(data)
    assert np.array_equal(samples, sound) and found == rate


def test_no_samples_are_a_file_too(tmp_path: Path) -> None:
    write_wav(tmp_path / "empty.wav", np.zeros(0, np.float32))
    assert len(read(tmp_path / "empty.wav")[0]) == 0


def test_a_stream_is_valid_after_every_write(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    writer = WavWriter(path)
    assert not path.exists()
    for count in (1, 2, 3):
        writer.write(np.arange(1000, dtype=np.int16))
        assert len(read(path)[0]) == 1000 * count
    writer.close()
    assert len(read(path)[0]) == writer.samples == 3000


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        write_wav(tmp_path / "absent" / "a.wav", np.zeros(1, np.int16))


def test_importing_it_does_not_import_torch() -> None:
    program = "import sys, omni.media.wav; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
