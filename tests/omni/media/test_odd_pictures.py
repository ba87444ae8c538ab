"""Pictures and clips as other programs write them, and as bad intent makes them."""

from __future__ import annotations

import io
import subprocess
import sys
import time
import warnings
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from omni.media import clip, image, picture_files
from omni.media.image import read_image
from omni.media.limits import MediaLimits
from omni.media.video import iter_frames
from tests.support.media_files import error_of
from tests.support.odd_files import EPS, flat_png, jpeg, many_scans
from tests.support.root import ROOT


def written(tmp_path: Path, content: bytes, name: str = "a.png") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["photo.png", "a.eps", "a.jpg"])
def test_no_program_is_started_for_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def started(*arguments: object, **options: object) -> None:
        raise AssertionError(f"a program was started: {arguments}")

    monkeypatch.setattr(subprocess, "Popen", started)
    error = error_of(lambda: read_image(written(tmp_path, EPS, name)))
    assert error.code == "image-unreadable"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_mark_is_read(tmp_path: Path, progressive: bool) -> None:
    whole = jpeg(progressive=progressive)
    seen = read_image(written(tmp_path, whole[:-2], "a.jpg"))
    assert np.array_equal(np.asarray(seen), np.asarray(Pillow.open(io.BytesIO(whole))))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.95])
def test_a_part_of_a_jpeg_is_refused(tmp_path: Path, share: float, progressive: bool) -> None:
    whole = jpeg(progressive=progressive)
    path = written(tmp_path, whole[: round(len(whole) * share)], "a.jpg")
    assert error_of(lambda: read_image(path)).code == "image-broken"


@pytest.mark.parametrize("colour", [0, 2, 3, 4, 6])
@pytest.mark.parametrize("rows", [0, 1, 30])
def test_a_png_that_lacks_rows_is_refused(tmp_path: Path, colour: int, rows: int) -> None:
    read_image(written(tmp_path, flat_png(40, 40, colour=colour)))
    path = written(tmp_path, flat_png(40, 40, colour=colour, rows=rows))
    assert error_of(lambda: read_image(path)).code == "image-broken"


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_interlaced_and_plain_png_are_whole(tmp_path: Path, mode: str) -> None:
    picture = Pillow.fromarray(np.arange(37 * 23, dtype=np.uint8).reshape(37, 23)).convert(
        "I" if mode == "I;16" else mode
    )
    if mode == "I;16":
        picture = Pillow.fromarray(np.asarray(picture).astype(np.uint16))
    picture.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").size == (23, 37)


def test_a_jpeg_of_very_many_scans_is_refused_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, many_scans(3000), "a.jpg")
    began = time.perf_counter()
    assert error_of(lambda: read_image(path)).code == "image-too-complex"
    assert time.perf_counter() - began < 2
    assert read_image(written(tmp_path, jpeg(progressive=True), "a.jpg")).size == (320, 240)


def test_passes_count_by_the_pixels_that_they_touch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, jpeg(progressive=True), "a.jpg")
    monkeypatch.setattr(picture_files, "limits", lambda: MediaLimits(picture_work=320 * 240 * 3))
    assert error_of(lambda: read_image(path)).code == "image-too-complex"


@pytest.mark.parametrize(
    ("bits", "colour"), [(16, 0), (8, 6), (8, 3), (1, 0)], ids=["grey16", "rgba", "palette", "bit"]
)
def test_a_small_file_of_many_pixels_needs_little_memory(
    tmp_path: Path, bits: int, colour: int
) -> None:
    path = written(tmp_path, flat_png(6000, 6000, bits=bits, colour=colour))
    code = (
        "import resource, sys; from omni.media.image import read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert read_image(sys.argv[1]).size == (6000, 6000)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(run.stdout) < 400_000  # kB: the file's pixels and the picture's, each once


def test_too_many_pixels(tmp_path: Path) -> None:
    error = error_of(lambda: read_image(written(tmp_path, flat_png(9000, 9000, bits=1))))
    assert error.code == "image-too-large"
    assert error.params["millions"] == 64


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG2000"])
def test_formats_that_need_more_memory_may_have_fewer_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(picture_files, "limits", lambda: MediaLimits(picture_pixels=10_000))
    path = tmp_path / "a"
    Pillow.new("RGB", (90, 90)).save(path, "PNG")
    assert read_image(path).size == (90, 90)
    Pillow.new("RGB", (90, 90)).save(path, kind)
    assert error_of(lambda: read_image(path)).code == "image-too-large"
    Pillow.new("RGB", (50, 50)).save(path, kind)
    assert read_image(path).size == (50, 50)


def test_infinite_levels_are_black_or_white(tmp_path: Path) -> None:
    levels = np.full((40, 40), 0.5, np.float32)
    levels[3, 3], levels[4, 4] = np.inf, -np.inf
    Pillow.fromarray(levels).save(tmp_path / "a.tiff")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = np.asarray(read_image(tmp_path / "a.tiff"))
    assert seen[3, 3, 0] == 255 and seen[4, 4, 0] == 0 and seen[0, 0, 0] == 128


def test_strips_give_what_the_whole_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(0)
    pictures = {
        "rgba": Pillow.fromarray(draws.integers(0, 256, (150, 90, 4), dtype=np.uint8)),
        "grey16": Pillow.fromarray(draws.integers(0, 65536, (150, 90), dtype=np.uint16)),
        "floats": Pillow.fromarray(draws.normal(0, 9, (150, 90)).astype(np.float32)),
    }
    for name, picture in pictures.items():
        path = tmp_path / f"{name}.tiff"
        picture.save(path)
        monkeypatch.setattr(image, "STRIP", 64)
        strips = np.asarray(read_image(path))
        monkeypatch.setattr(image, "STRIP", 10_000)
        assert np.array_equal(strips, np.asarray(read_image(path))), name


def test_a_clip_of_very_large_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=1)
        stream.width, stream.height, stream.pix_fmt = 4096, 2400, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((2400, 4096, 3), np.uint8))
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    error = error_of(lambda: list(iter_frames(path, 8)))
    assert error.code == "video-too-large"
    assert error.params["width"] == 4096


def test_a_camera_sends_no_posters(tmp_path: Path) -> None:
    target = io.BytesIO()
    Pillow.new("L", (3000, 3000)).save(target, "JPEG")
    error = error_of(lambda: clip.write_clip([target.getvalue()] * 8, tmp_path / "a.mp4"))
    assert error.code == "image-too-large"


def test_a_camera_sends_jpeg_alone(tmp_path: Path) -> None:
    error = error_of(lambda: clip.write_clip([flat_png(40, 40)], tmp_path / "a.mp4"))
    assert error.code == "image-unreadable"
