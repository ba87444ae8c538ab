"""Log-mel, patches and frame choice against what the published code computed."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from omni.config import OmniConfig
from omni.media.audio import audio_pieces, code_lengths, read_waveform, split_lengths
from omni.media.image import image_patches, read_image, smart_resize
from omni.media.mel import mel_filters, mel_frames
from omni.media.video import iter_frames
from tests.support.golden_set import GoldenSet

FEATURES = 1e-5  # golden README.json: "audio features"
RESAMPLED = 2e-5  # the same, of the resampled file


@pytest.fixture(scope="module")
def config(golden: GoldenSet) -> OmniConfig:
    return OmniConfig.from_pretrained(golden.checkpoint)


@pytest.fixture(scope="module")
def audio(golden: GoldenSet) -> dict[str, torch.Tensor]:
    return golden.tensors("audio")


@pytest.fixture(scope="module")
def waves(golden: GoldenSet) -> dict[str, Any]:
    return golden.json("audio")["waves"]


@pytest.fixture(scope="module")
def visual(golden: GoldenSet) -> dict[str, torch.Tensor]:
    return golden.tensors("visual")


def waveform_of(name: str, golden: GoldenSet, audio: dict, waves: dict) -> np.ndarray:
    """At 16 kHz: the published resampler's result where it is recorded, else our reading."""
    stored = audio.get(f"{name}.waveform16k_mono")
    return read_waveform(golden.input(waves[name]["file"])) if stored is None else stored[0].numpy()


def test_mel_filters(audio: dict, config: OmniConfig) -> None:
    mine = mel_filters(config.audio.n_fft, config.audio.sampling_rate, config.audio.num_mel_bins)
    stored = next(value for key, value in audio.items() if key.startswith("mel_filters"))
    torch.testing.assert_close(mine, stored, rtol=0, atol=1e-7)


def test_log_mel_and_lengths(
    golden: GoldenSet, audio: dict, waves: dict, config: OmniConfig
) -> None:
    compared = 0
    for name, wave in waves.items():
        waveform = waveform_of(name, golden, audio, waves)
        assert waveform.size == wave["samples_after_load_16k"]
        pieces = audio_pieces(waveform, config.audio)
        assert [piece.encoder_length for piece in pieces] == wave["encoder_length"]
        assert [piece.bridge_length for piece in pieces] == wave["bridge_length"]
        atol = RESAMPLED if f"{name}.waveform16k_mono" in audio else FEATURES
        if f"{name}.features" in audio:
            stored = list(audio[f"{name}.features"])
            frames = torch.arange(stored[0].shape[1])
        else:
            stored = list(audio[f"{name}.features_at_frame_index"])
            frames = audio[f"{name}.frame_index"]
        for piece, reference in zip(pieces, stored, strict=True):
            valid = frames < piece.mel.shape[1]
            mine = piece.mel[:, frames[valid]]
            torch.testing.assert_close(mine, reference[:, valid], rtol=0, atol=atol)
            assert not reference[:, ~valid].any()
            compared += 1
    assert compared >= len(waves)


def test_split_edges(golden: GoldenSet, config: OmniConfig) -> None:
    for samples, case in golden.json("audio")["split_edge_cases"].items():
        mine = []
        for _, length in split_lengths(int(samples), config.audio):
            frames = mel_frames(length, config.audio)
            mine.append([length, frames, *code_lengths(frames, config.audio)])
        assert [mine] == list(case.values())
        pieces = audio_pieces(np.zeros(int(samples), np.float32), config.audio)
        assert [piece.bridge_length for piece in pieces] == [row[3] for row in mine if row[3]]


def test_our_resampling_is_close_to_the_published(
    golden: GoldenSet, audio: dict, waves: dict
) -> None:
    """soxr instead of a windowed sinc of other width: they differ close to 8 kHz (40.5 dB)."""
    names = [name for name in waves if f"{name}.waveform16k_mono" in audio]
    assert names
    for name in names:
        reference = audio[f"{name}.waveform16k_mono"][0].numpy()
        mine = read_waveform(golden.input(waves[name]["file"]))
        assert mine.size == reference.size
        noise = np.square(mine - reference).mean() / np.square(reference).mean()
        assert 10 * np.log10(noise) < -30


def test_patches(golden: GoldenSet, visual: dict, config: OmniConfig) -> None:
    table = golden.json("visual")
    pictures = [name for name in table if f"{name}.patches" in visual]
    assert pictures
    for name in pictures:
        picture = read_image(golden.input(table[name]["file"]))
        assert [picture.height, picture.width] == table[name]["orig_hw"]
        size = smart_resize(picture.height, picture.width, config.visual)
        assert list(size) == table[name]["resized_hw"]
        mine = image_patches(picture, config.visual)
        assert [1, *mine.grid] == table[name]["grid_thw"]
        torch.testing.assert_close(mine.patches, visual[f"{name}.patches"], rtol=0, atol=1e-6)


def test_smart_resize_table(golden: GoldenSet, config: OmniConfig) -> None:
    for height, width, least, most, *expected in golden.json("visual")["smart_resize"]:
        limits = replace(config.visual, min_pixels=least, max_pixels=most)
        assert list(smart_resize(height, width, limits)) == expected


def frame_files(golden: GoldenSet, names: list[str]) -> list[Path]:
    return [golden.folder / "inputs" / "video_frames" / name for name in names]


def test_frame_patches(golden: GoldenSet, visual: dict, config: OmniConfig) -> None:
    video = golden.json("visual")["video"]
    for index, file in enumerate(frame_files(golden, video["frames_chosen"])):
        mine = image_patches(read_image(file), config.video)
        assert [1, *mine.grid] == video["grid"][index]
        torch.testing.assert_close(mine.patches, visual[f"video.patches{index}"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("which", ["frames_chosen", "all_extracted"])
def test_frame_choice(golden: GoldenSet, config: OmniConfig, which: str) -> None:
    """Ours are the published frames but for the JPEG that these went through."""
    video = golden.json("visual")["video"]
    with av.open(str(golden.input(video["file"]))) as container:
        every = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    limit = config.video.max_frame_num if which == "frames_chosen" else len(every)
    mine = list(iter_frames(golden.input(video["file"]), limit))
    assert len(mine) == len(video[which])
    for frame, file in zip(mine, frame_files(golden, video[which]), strict=True):
        published = np.asarray(read_image(file)).astype(int)
        nearest = min(every, key=lambda other: np.abs(other - published).mean())
        assert np.array_equal(np.asarray(frame), nearest)
        assert np.abs(as_jpeg(frame) - published).mean() < 0.5


def as_jpeg(frame: Pillow.Image) -> np.ndarray:
    buffer = io.BytesIO()
    frame.save(buffer, "JPEG", quality=95)
    return np.asarray(Pillow.open(buffer)).astype(int)
