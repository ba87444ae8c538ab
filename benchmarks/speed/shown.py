"""What is shown in a measurement: a picture and a clip of a given size, the same every time.

Knows: coloured shapes that move, their files. Does not know: models.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image

CLIP_SIZE = (320, 240)  # width and height
CLIP_RATE = 5  # pictures a second


def write_picture(path: Path, width: int, height: int) -> Path:
    """Stripes and a disc."""
    Image.fromarray(_painted(width, height, 0.0)).save(path)
    return path


def write_clip(path: Path, seconds: float) -> Path:
    """The same with a disc that crosses the picture, without sound."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=CLIP_RATE)
        stream.width, stream.height = CLIP_SIZE
        stream.pix_fmt = "yuv420p"
        count = max(1, round(seconds * CLIP_RATE))
        for number in range(count):
            picture = _painted(*CLIP_SIZE, number / count)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _painted(width: int, height: int, moved: float) -> np.ndarray:
    """uint8 (height, width, 3); ``moved``: how far the disc is, from 0 to 1."""
    y, x = np.mgrid[:height, :width]
    stripes = ((x * 8 // width) % 2 * 90 + 100).astype(np.uint8)
    picture = np.stack([stripes, (y * 155 // height).astype(np.uint8), 200 - stripes], axis=-1)
    centre_x, centre_y, radius = width * (0.2 + 0.6 * moved), height / 2, min(width, height) / 5
    disc = (x - centre_x) ** 2 + (y - centre_y) ** 2 < radius**2
    picture[disc] = (250, 220, 30)
    return picture
