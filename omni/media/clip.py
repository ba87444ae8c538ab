"""Still frames of a camera to a clip of one frame a second.

Knows: JPEG data, the clip's form (a browser plays it, :func:`omni.media.video.iter_frames` gives
every frame of it back). Does not know: when the frames were taken, who sees them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import av
from PIL import Image as Pillow

from omni.errors import MediaError
from omni.media.limits import Watch
from omni.media.picture_files import open_picture

QUALITY = "20"  # x264's constant rate factor
NAME = "camera"  # of a frame, in sentences
CAMERA_PIXELS = 4_200_000  # of a frame; the page sends 640 x 480


def write_clip(frames: Sequence[bytes], path: Path, stop: Event | None = None) -> None:
    """Write JPEG frames as an H.264 clip (.mp4), one frame a second, all of the first one's size.

    Args:
        stop: when set, the work ends.

    Raises:
        DecodingStopped: ``stop`` was set.
        MediaError: ``image-unreadable``, a frame is no picture.
        ValueError: no frames.
    """
    if not frames:
        raise ValueError("A clip needs frames.")
    first = _picture(frames[0])
    width, height = (side - side % 2 for side in first.size)  # the pixel format halves both
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": QUALITY, "g": "1"}
        watch = Watch(path.name, stop)
        for data in frames:
            watch.check()
            picture = _picture(data).resize((width, height))  # one by one: frames may be large
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())


def _picture(data: bytes) -> Pillow.Image:
    try:
        with open_picture(io.BytesIO(data), NAME, CAMERA_PIXELS, formats=("JPEG",)) as picture:
            return picture.convert("RGB")
    except (OSError, ValueError) as error:
        raise MediaError(
            "image-unreadable",
            "{name} is not a picture that can be read: use PNG, JPEG, WebP or GIF.",
            name=NAME,
        ) from error
