"""A camera's frames as a clip, and back."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from omni.errors import MediaError
from omni.media.clip import write_clip
from omni.media.video import iter_frames


def jpeg(size: tuple[int, int], shade: int) -> bytes:
    data = io.BytesIO()
    Pillow.new("RGB", size, (shade, shade, shade)).save(data, "JPEG")
    return data.getvalue()


@pytest.mark.parametrize("count", [1, 2, 32])
def test_a_clip_gives_every_frame_back(tmp_path: Path, count: int) -> None:
    shades = [40 + 6 * index for index in range(count)]
    path = tmp_path / "clip.mp4"
    write_clip([jpeg((65, 49), shade) for shade in shades], path)
    frames = list(iter_frames(path, 32))
    assert len(frames) == count
    assert frames[0].size == (64, 48)
    means = [float(np.asarray(frame).mean()) for frame in frames]
    assert np.abs(np.array(means) - shades).max() < 3


def test_a_frame_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="not a picture"):
        write_clip([b"GIF89a"], tmp_path / "clip.mp4")
