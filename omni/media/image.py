"""Picture files to the patches that the vision tower reads.

Knows: Pillow, turning, transparency, the size rule and the patch order of Qwen2-VL.
Does not know: the tower, clips, prompts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Event

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from omni.config import VisualConfig
from omni.errors import MediaError
from omni.media.files import readable_file
from omni.media.limits import DecodingStopped, Watch
from omni.media.picture_files import check_head, open_picture, too_large
from omni.media.stoppable import stoppable

MIN_PIXELS = 257  # the published processor refuses pictures of 256 pixels and fewer
MAX_ASPECT = 200
WHITE = (255, 255, 255)
STRIP = 64  # rows that are converted at once


@dataclass(frozen=True, eq=False)
class ImagePatches:
    """A picture as the vision tower takes it.

    ``patches``: float32 (rows * columns, 1176), in the order of 2x2 blocks; features in the order
    (channel, time, y, x). ``grid``: (rows, columns) of patches.
    """

    patches: torch.Tensor
    grid: tuple[int, int]


def read_image(
    path: Path | str,
    background: tuple[int, int, int] | None = WHITE,
    stop: Event | None = None,
) -> Pillow.Image:
    """A picture as people see it: first frame, turned as its EXIF data say, RGB.

    Args:
        path: a file of one of :data:`omni.media.picture_files.FORMATS`, known by its content.
        background: what shows through transparent parts; None drops the transparency as the
            published code does (hidden colours, often black, appear).

        stop: when set, the decoding ends; also one that does not ask.

    Raises:
        MediaError: ``media-missing``, ``media-empty``, ``media-too-large``, ``media-too-slow``,
            ``image-unreadable``, ``image-broken``, ``image-too-large``, ``image-too-complex``.
        DecodingStopped: ``stop`` was set.
    """
    file = readable_file(path)
    watch = Watch(file.name, stop)

    def read() -> Pillow.Image:
        with file.open("rb") as data, open_picture(data, file.name, watch=watch) as opened:
            opened.load()
            ImageOps.exif_transpose(opened, in_place=True)
            return _as_seen(opened, background)

    with _told(file.name):
        return read() if stop is None else stoppable(read, watch)


def check_image(path: Path | str) -> None:
    """Refuse what is no picture or too large, by its first bytes.

    Raises:
        MediaError: as of :func:`read_image`, as far as they tell.
    """
    file = readable_file(path)
    with _told(file.name), file.open("rb") as data:
        check_head(data, file.name)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What goes wrong with the file called ``name`` as a sentence."""
    try:
        yield
    except (MediaError, DecodingStopped):
        raise
    except UnidentifiedImageError as error:
        raise MediaError(
            "image-unreadable",
            "{name} is not a picture that can be read: use PNG, JPEG, WebP or GIF.",
            name=name,
        ) from error
    except Pillow.DecompressionBombError as error:
        raise too_large(name) from error
    except Exception as error:  # Pillow's decoders fail in very many ways on a broken file
        raise MediaError(
            "image-broken", "{name} is broken or incomplete: send it again.", name=name
        ) from error


def resized(picture: Pillow.Image, config: VisualConfig) -> Pillow.Image:
    """A picture in the size at which the tower sees it (PIL bicubic on 8 bits).

    Args:
        picture: RGB.
        config: ``config.visual`` for pictures, ``config.video`` for frames.

    Raises:
        MediaError: ``image-too-small``, ``image-too-narrow``.
    """
    if picture.width * picture.height < MIN_PIXELS:
        raise MediaError(
            "image-too-small",
            "A picture of {width} x {height} pixels is too small to see: send a larger one.",
            width=picture.width,
            height=picture.height,
        )
    height, width = smart_resize(picture.height, picture.width, config)
    return picture.resize((width, height), Pillow.Resampling.BICUBIC)


def image_patches(picture: Pillow.Image, config: VisualConfig) -> ImagePatches:
    """Resize as :func:`resized`, normalize and cut into patches; same arguments, same errors."""
    seen = resized(picture, config)
    pixels = torch.from_numpy(np.array(seen))  # (height, width, 3) uint8
    levels = torch.from_numpy(_levels(config.image_mean, config.image_std))
    channels = [levels[channel][pixels[..., channel].long()] for channel in range(3)]
    side, merge = config.patch_size, config.merge_size
    rows, columns = seen.height // side, seen.width // side
    blocks = torch.stack(channels).reshape(
        3, rows // merge, merge, side, columns // merge, merge, side
    )
    blocks = blocks.permute(1, 4, 2, 5, 0, 3, 6)  # block row, block column, y, x, channel, y, x
    patches = blocks.reshape(rows * columns, 3, 1, side * side)
    still = patches.expand(-1, -1, config.temporal_patch_size, -1)  # a picture does not move
    return ImagePatches(still.reshape(rows * columns, -1).contiguous(), (rows, columns))


def smart_resize(height: int, width: int, config: VisualConfig) -> tuple[int, int]:
    """The size (height, width) that a picture is brought to: whole blocks, within the limits.

    Source: Qwen2-VL; rounding is to even, as Python's ``round``.

    Raises:
        MediaError: ``image-too-narrow``, one side is over 200 times the other.
    """
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise MediaError(
            "image-too-narrow",
            "A picture of {width} x {height} pixels is too narrow: cut out the part that matters.",
            width=width,
            height=height,
        )
    block = config.patch_size * config.merge_size
    new_height = max(block, round(height / block) * block)
    new_width = max(block, round(width / block) * block)
    if new_height * new_width > config.max_pixels:
        shrink = math.sqrt(height * width / config.max_pixels)
        new_height = max(block, math.floor(height / shrink / block) * block)
        new_width = max(block, math.floor(width / shrink / block) * block)
    elif new_height * new_width < config.min_pixels:
        grow = math.sqrt(config.min_pixels / (height * width))
        new_height = math.ceil(height * grow / block) * block
        new_width = math.ceil(width * grow / block) * block
    return new_height, new_width


@lru_cache(maxsize=4)
def _levels(mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """float32 (3, 256): the normalized value of each level of each channel."""
    levels = np.arange(256, dtype=np.float64) / 255
    table = (levels - np.array(mean)[:, None]) / np.array(std)[:, None]
    return table.astype(np.float32)


def _as_seen(picture: Pillow.Image, background: tuple[int, int, int] | None) -> Pillow.Image:
    """RGB of any mode. In strips, so that a large picture is not in memory four times."""
    if not _converts(picture, background):
        return picture.convert("RGB")
    levels = _levels_of(picture) if _is_deep(picture) else None
    seen = Pillow.new("RGB", picture.size)
    for top in range(0, picture.height, STRIP):
        strip = picture.crop((0, top, picture.width, min(top + STRIP, picture.height)))
        strip.info = dict(picture.info)  # where Pillow keeps the transparent colour
        if levels is not None:
            strip = _eight_bits(strip, *levels)
        if background is not None and strip.has_transparency_data:
            layer = strip.convert("RGBA")
            strip = Pillow.new("RGBA", layer.size, (*background, 255))
            strip.alpha_composite(layer)
        seen.paste(strip.convert("RGB"), (0, top))
    return seen


def _converts(picture: Pillow.Image, background: tuple[int, int, int] | None) -> bool:
    """Whether more than Pillow's own conversion is needed."""
    return _is_deep(picture) or (background is not None and picture.has_transparency_data)


def _is_deep(picture: Pillow.Image) -> bool:
    """Grey of more than 8 bits."""
    return picture.mode.startswith("I") or picture.mode == "F"


def _levels_of(picture: Pillow.Image) -> tuple[float, float]:
    """The values that become black and white."""
    low, high = math.inf, -math.inf
    for top in range(0, picture.height, STRIP):
        strip = picture.crop((0, top, picture.width, min(top + STRIP, picture.height)))
        values = np.asarray(strip)
        if np.isnan(values).all():
            continue
        low, high = min(low, float(np.nanmin(values))), max(high, float(np.nanmax(values)))
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    if picture.mode != "F" and low >= 0 and high <= 0xFFFF:
        return 0.0, 65535.0  # 16 bits: the darkness is kept; anything else is stretched
    return low, high


def _eight_bits(picture: Pillow.Image, low: float, high: float) -> Pillow.Image:
    """Grey of more than 8 bits (Pillow's own conversion clips it to white)."""
    values = np.asarray(picture).astype(np.float64)
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    scaled = (values - low) * (255.0 / ((high - low) or 1.0))
    return Pillow.fromarray(scaled.round().clip(0, 255).astype(np.uint8))
