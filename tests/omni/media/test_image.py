"""Pictures of all kinds as people see them, their sizes and their patches."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from omni.config import VisualConfig
from omni.media.image import image_patches, read_image, smart_resize
from tests.support.media_files import error_of, write_png_header

PICTURE = VisualConfig()


def gradient(width: int = 40, height: int = 30) -> Pillow.Image:
    across = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    down = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    pixels = np.stack([across, down, 255 - across], axis=-1).astype(np.uint8)
    return Pillow.fromarray(pixels)


def same(picture: Pillow.Image, expected: Pillow.Image, atol: float = 0) -> bool:
    assert picture.mode == expected.mode == "RGB"
    assert picture.size == expected.size
    difference = np.asarray(picture).astype(int) - np.asarray(expected)
    return bool(np.abs(difference).max() <= atol)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.ppm"])
def test_kinds_of_pictures(tmp_path: Path, name: str) -> None:
    gradient().save(tmp_path / name)
    assert same(read_image(tmp_path / name), gradient())


@pytest.mark.parametrize(("name", "atol"), [("a.jpg", 12), ("a.webp", 12)])
def test_lossy_pictures(tmp_path: Path, name: str, atol: int) -> None:
    gradient().save(tmp_path / name, quality=95)
    assert same(read_image(tmp_path / name), gradient(), atol)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LAB", "HSV"])
def test_modes(tmp_path: Path, mode: str) -> None:
    picture = gradient().convert("L").convert("1") if mode == "1" else gradient()
    if mode == "LAB":
        picture = Pillow.merge("LAB", gradient().split())
    picture = picture.convert(mode) if mode != "LAB" else picture
    path = tmp_path / ("a.png" if mode in ("L", "1", "P") else "a.tiff")
    if mode in ("YCbCr", "HSV"):
        path = tmp_path / "a.tiff"
        picture = picture.convert("RGB")
    picture.save(path)
    assert same(read_image(path), picture.convert("RGB"))


def test_sixteen_bits(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 1200).reshape(30, 40).astype(np.uint16)
    Pillow.fromarray(values).save(tmp_path / "a.png")
    grey = np.asarray(read_image(tmp_path / "a.png"))[..., 0].astype(float)
    assert np.abs(grey - values / 257).max() <= 0.51


def test_numbers_of_any_size(tmp_path: Path) -> None:
    values = np.linspace(-3.0, 5.0, 1200).reshape(30, 40).astype(np.float32)
    Pillow.fromarray(values).save(tmp_path / "a.tiff")
    grey = np.asarray(read_image(tmp_path / "a.tiff"))[..., 0]
    assert (grey.min(), grey.max()) == (0, 255)


@pytest.mark.parametrize("turn", range(1, 9))
def test_the_camera_was_turned(tmp_path: Path, turn: int) -> None:
    upright = gradient()
    undo = {
        2: Pillow.Transpose.FLIP_LEFT_RIGHT,
        3: Pillow.Transpose.ROTATE_180,
        4: Pillow.Transpose.FLIP_TOP_BOTTOM,
        5: Pillow.Transpose.TRANSPOSE,
        6: Pillow.Transpose.ROTATE_90,
        7: Pillow.Transpose.TRANSVERSE,
        8: Pillow.Transpose.ROTATE_270,
    }
    taken = upright.transpose(undo[turn]) if turn in undo else upright
    exif = Pillow.Exif()
    exif[0x0112] = turn
    taken.save(tmp_path / "a.png", exif=exif)
    assert same(read_image(tmp_path / "a.png"), upright)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_parts_are_white(tmp_path: Path, mode: str) -> None:
    alpha = np.zeros((30, 40), np.uint8)
    alpha[:, 20:] = 255
    picture = Pillow.new("RGBA", (40, 30), (0, 0, 0, 0))
    picture.paste((10, 10, 10, 255), (20, 0, 40, 30))
    if mode == "P":
        palette = Pillow.fromarray(np.where(alpha > 0, 1, 0).astype(np.uint8), "P")
        palette.putpalette([0, 0, 0, 10, 10, 10])
        palette.save(tmp_path / "a.png", transparency=0)
    else:
        picture.convert(mode).save(tmp_path / "a.png")
    seen = np.asarray(read_image(tmp_path / "a.png"))
    assert (seen[:, :20] == 255).all()
    assert (seen[:, 20:] == 10).all()
    published = np.asarray(read_image(tmp_path / "a.png", background=None))
    assert (published[:, :20] == 0).all()


def test_an_opaque_picture_keeps_its_pixels(tmp_path: Path) -> None:
    gradient().convert("RGBA").save(tmp_path / "a.png")
    assert same(read_image(tmp_path / "a.png"), gradient())


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Pillow.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert same(read_image(tmp_path / "a.gif"), frames[0])


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.gif"])
def test_half_a_picture(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    gradient(400, 300).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert error_of(lambda: read_image(path)).code in ("image-broken", "image-unreadable")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(10_000, 9000), (60_000, 60_000)])
def test_a_bomb(tmp_path: Path, size: tuple[int, int]) -> None:
    path = write_png_header(tmp_path / "a.png", *size)
    assert error_of(lambda: read_image(path)).code == "image-too-large"


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (256, 1)])
def test_a_tiny_picture(size: tuple[int, int]) -> None:
    picture = Pillow.new("RGB", size)
    assert error_of(lambda: image_patches(picture, PICTURE)).code == "image-too-small"


@pytest.mark.parametrize("size", [(6030, 30), (2, 500)])
def test_a_narrow_picture(size: tuple[int, int]) -> None:
    picture = Pillow.new("RGB", size)
    assert error_of(lambda: image_patches(picture, PICTURE)).code == "image-too-narrow"


def test_two_hundred_to_one_is_allowed() -> None:
    assert image_patches(Pillow.new("RGB", (6000, 30)), PICTURE).grid[0] == 2


def test_sizes_stay_within_the_limits() -> None:
    for height in (1, 17, 28, 41, 500, 3000, 9000):
        for width in (17, 43, 128, 2000, 8000):
            if max(height, width) > 200 * min(height, width):
                continue
            rows, columns = smart_resize(height, width, PICTURE)
            assert rows % 28 == columns % 28 == 0
            assert rows * columns >= PICTURE.min_pixels
            assert rows * columns <= PICTURE.max_pixels or min(rows, columns) == 28


def test_patch_order() -> None:
    """2x2 blocks row by row, inside a block row by row; features by channel, time, y, x."""
    config = replace(PICTURE, image_mean=(0.0, 0.0, 0.0), image_std=(1.0, 1.0, 1.0))
    pixels = np.random.default_rng(1).integers(0, 256, (56, 84, 3), dtype=np.uint8)
    mine = image_patches(Pillow.fromarray(pixels), config)
    assert mine.grid == (4, 6)
    assert mine.patches.shape == (24, 1176)
    assert mine.patches.dtype == torch.float32
    order = [
        (2 * block_row + row, 2 * block_column + column)
        for block_row in range(2)
        for block_column in range(3)
        for row in range(2)
        for column in range(2)
    ]
    for index, (row, column) in enumerate(order):
        patch = mine.patches[index].reshape(3, 2, 14, 14).numpy()
        cut = pixels[14 * row : 14 * row + 14, 14 * column : 14 * column + 14] / 255
        assert np.abs(patch - cut.transpose(2, 0, 1)[:, None]).max() < 1e-6


@pytest.fixture(scope="module")
def real() -> list[Path]:
    folder = os.environ.get("OMNI_MEDIA")
    if folder is None:
        pytest.skip("set OMNI_MEDIA to a folder of recordings and pictures")
    return sorted(Path(folder).iterdir())


def test_real_pictures(real: list[Path]) -> None:
    pictures = [path for path in real if path.suffix == ".png"]
    assert pictures
    for path in pictures:
        patches = image_patches(read_image(path), PICTURE)
        rows, columns = patches.grid
        assert patches.patches.shape == (rows * columns, 1176)
        assert PICTURE.min_pixels <= rows * columns * 14 * 14 <= PICTURE.max_pixels
