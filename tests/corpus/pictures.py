"""Odd pictures, made on the spot, each with what is right for it.

The good one shows a red star and a blue circle (examples/shapes.png).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import PngImagePlugin

from tests.corpus.outcomes import Case, Refused, Seen, refused, written
from tests.support.odd_files import (
    EPS,
    LFS_POINTER,
    PNG,
    flat_png,
    jpeg,
    many_scans,
    png_chunk,
)
from tests.support.root import ROOT

ASKED = "What do you see?"
SHOWN = Seen("a red star and a blue circle")
ANYTHING = Seen("")
UNREADABLE, BROKEN = refused("image-unreadable"), refused("image-broken")
NONE_OF_BOTH = refused("image-unreadable", "image-broken")
LARGE = refused("image-too-large")
TURNED = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 6: "ROTATE_90", 8: "ROTATE_270"}  # by EXIF


@cache
def shapes() -> Pillow.Image:
    """RGB: the good picture."""
    return Pillow.open(ROOT / "examples" / "shapes.png").convert("RGB")


def saved(kind: str, picture: Pillow.Image | None = None, **options: Any) -> bytes:
    """The picture as Pillow writes it."""
    target = io.BytesIO()
    (picture or shapes()).save(target, kind, **options)
    return target.getvalue()


def case(name: str, right: Seen | Refused, content: Callable[[], bytes] | bytes) -> Case:
    """A file called ``name``."""

    def make(folder: Path) -> Path:
        return written(name, content if isinstance(content, bytes) else content())(folder)

    return Case(name, make, right)


def turned(orientation: int) -> bytes:
    """A JPEG that lies as the camera was held, and says how."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    lying = shapes().transpose(Pillow.Transpose[TURNED[orientation]])
    return saved("JPEG", lying, exif=exif, quality=95)


def see_through() -> Pillow.Image:
    """The shapes on nothing; what nobody sees is black."""
    pixels = np.array(shapes().convert("RGBA"))
    background = pixels[..., :3].astype(int).sum(-1) == pixels[0, 0, :3].astype(int).sum()
    pixels[background] = 0
    return Pillow.fromarray(pixels)


def extra_chunk(kind: bytes, data: bytes) -> bytes:
    """The PNG with another chunk behind its head."""
    whole = saved("PNG")
    return whole[:33] + png_chunk(kind, data) + whole[33:]


def png_of(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG that claims a size."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return PNG + head + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


def jpeg_of(width: int, height: int) -> bytes:
    """A JPEG that claims a size."""
    content = bytearray(jpeg(64, 64))
    place = content.index(b"\xff\xc0")
    struct.pack_into(">HH", content, place + 5, height, width)
    return bytes(content)


def gif_of(width: int, height: int) -> bytes:
    content = bytearray(saved("GIF", Pillow.new("P", (8, 8))))
    struct.pack_into("<HH", content, 6, width, height)
    return bytes(content)


def tiff_of(tag: int, value: int) -> bytes:
    """A TIFF one of whose numbers is another one."""
    content = bytearray(saved("TIFF"))
    (place,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, place)
    for entry in range(place + 2, place + 2 + 12 * count, 12):
        if struct.unpack_from("<H", content, entry)[0] == tag:
            struct.pack_into("<HII", content, entry + 2, 4, 1, value)
    return bytes(content)


def endless_tiff() -> bytes:
    """A TIFF whose directory leads back to itself."""
    content = bytearray(saved("TIFF"))
    (place,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, place)
    struct.pack_into("<I", content, place + 2 + 12 * count, place)
    return bytes(content)


def frames(kind: str, count: int, **options: Any) -> bytes:
    """An animation that begins with the good picture."""
    more = [Pillow.new("RGB", shapes().size, (i % 256, 9, 9)) for i in range(count - 1)]
    return saved(kind, append_images=more, save_all=True, duration=50, **options)


def half_of(content: bytes) -> bytes:
    return content[: len(content) // 2]


def floats(value: float) -> bytes:
    levels = np.full((64, 64), 0.5, np.float32)
    levels[3, 3] = value
    return saved("TIFF", Pillow.fromarray(levels))


def kinds() -> list[Case]:
    """The picture in other forms."""
    forms: dict[str, Callable[[], bytes]] = {
        "plain.png": lambda: saved("PNG"),
        "palette.png": lambda: saved("PNG", shapes().quantize(64)),
        "opaque.png": lambda: saved("PNG", shapes().convert("RGBA")),
        "see-through.png": lambda: saved("PNG", see_through()),
        "see-through-palette.png": lambda: saved("PNG", see_through().quantize(64)),
        "see-through.webp": lambda: saved("WEBP", see_through(), lossless=True),
        "lossless.webp": lambda: saved("WEBP", lossless=True),
        "moving.webp": lambda: frames("WEBP", 5, lossless=True),
        "plain.gif": lambda: saved("GIF"),
        "moving.gif": lambda: frames("GIF", 5),
        "plain.bmp": lambda: saved("BMP"),
        "plain.tif": lambda: saved("TIFF"),
        "lzw.tif": lambda: saved("TIFF", compression="tiff_lzw"),
        "pages.tif": lambda: frames("TIFF", 3),
        "plain.ppm": lambda: saved("PPM"),
        "plain.qoi": lambda: saved("QOI", shapes().convert("RGB")),
        "plain.jp2": lambda: saved("JPEG2000"),
        "plain.avif": lambda: saved("AVIF", quality=95),
        "plain.ico": lambda: saved("ICO", sizes=[shapes().size], bitmap_format="bmp"),
        "plain.jpg": lambda: saved("JPEG", quality=95),
        "progressive.jpg": lambda: saved("JPEG", quality=95, progressive=True),
        "cmyk.jpg": lambda: saved("JPEG", shapes().convert("CMYK"), quality=95),
        "cmyk.tif": lambda: saved("TIFF", shapes().convert("CMYK")),
        "two.mpo": lambda: frames("MPO", 2, quality=95),
        "no-end.jpg": lambda: saved("JPEG", quality=95)[:-2],
        "no-end-progressive.jpg": lambda: saved("JPEG", quality=95, progressive=True)[:-2],
        "more-behind.jpg": lambda: saved("JPEG", quality=95) + bytes(5000),
        "more-behind.png": lambda: saved("PNG") + b"<script>" * 500,
        "comment.jpg": lambda: saved("JPEG", quality=95, comment=b"x" * 60_000),
        **{f"turned-{n}.jpg": partial(turned, n) for n in TURNED},
        **{f"a-png-called.{ending}": lambda: saved("PNG") for ending in ("txt", "wav", "mp4")},
        "a-jpeg-called.png": lambda: saved("JPEG", quality=95),
    }
    grey = {
        "grey.png": lambda: saved("PNG", shapes().convert("L")),
        "one-bit.png": lambda: saved("PNG", shapes().convert("1")),
        "grey-16.png": lambda: saved("PNG", Pillow.fromarray(np.full((64, 64), 40_000, np.uint16))),
        "grey.jpg": lambda: saved("JPEG", shapes().convert("L")),
        "float.tif": lambda: floats(3.0),
        "float-nan.tif": lambda: floats(float("nan")),
        "float-inf.tif": lambda: floats(float("inf")),
    }
    return [
        *(case(name, SHOWN, content) for name, content in forms.items()),
        *(case(name, ANYTHING, content) for name, content in grey.items()),
    ]


def bombs() -> list[Case]:
    """Small files of very many pixels, scans, frames or words."""
    tall = struct.pack("<ii", 64, -64)
    bmp = bytearray(saved("BMP", Pillow.new("RGB", (64, 64))))
    bmp[18:26] = tall
    return [
        case("grey-16-bomb.png", ANYTHING, lambda: flat_png(7900, 7900, bits=16)),
        case("rgba-bomb.png", ANYTHING, lambda: flat_png(5000, 5000, colour=6)),
        case("palette-bomb.png", ANYTHING, lambda: flat_png(7900, 7900, colour=3)),
        case("pixels.png", LARGE, lambda: flat_png(9000, 9000, bits=1)),
        case("claims-60000.png", LARGE, png_of(60_000, 60_000)),
        case("claims-most.png", refused("image-too-large", "image-broken", "image-unreadable"),
             png_of(0x7FFFFFFF, 0x7FFFFFFF)),
        case("claims-nothing.png", NONE_OF_BOTH, png_of(0, 0)),
        case("claims-65000.jpg", LARGE, jpeg_of(65_000, 65_000)),
        case("claims-65535.gif", LARGE, gif_of(65_535, 65_535)),
        case("claims-wide.tif", refused("image-too-large", "image-broken"),
             lambda: tiff_of(256, 2_000_000)),
        case("scans.jpg", refused("image-too-complex"), lambda: many_scans(3000)),
        case("flat.jpg", ANYTHING, lambda: saved("JPEG", Pillow.new("L", (7000, 7000)))),
        case("flat.webp", LARGE, lambda: saved("WEBP", Pillow.new("L", (7000, 7000)))),
        case("flat-5000.webp", ANYTHING, lambda: saved("WEBP", Pillow.new("L", (5000, 5000)))),
        case("text-bomb.png", BROKEN,
             lambda: extra_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))),
        case("profile-bomb.png", refused("image-broken", "image-too-large", "image-unreadable"),
             lambda: extra_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000)))),
        case("thousand-frames.gif", SHOWN, lambda: frames("GIF", 1000)),
        case("top-down.bmp", ANYTHING, bytes(bmp)),
    ]  # fmt: skip


def broken() -> list[Case]:
    """What lacks a part, or lies about one."""
    halves = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP",
              "tif": "TIFF", "avif": "AVIF", "jp2": "JPEG2000", "qoi": "QOI"}  # fmt: skip
    cases = [
        case(f"half.{ending}", NONE_OF_BOTH, lambda kind=kind: half_of(saved(kind)))
        for ending, kind in halves.items()
    ]
    return [
        *cases,
        case("half-progressive.jpg", BROKEN, lambda: half_of(saved("JPEG", progressive=True))),
        case("lacks-rows.png", BROKEN, flat_png(64, 64, rows=9)),
        case("no-rows.png", BROKEN, flat_png(64, 64, rows=0)),
        case("no-data.png", NONE_OF_BOTH, PNG),
        case("endless.tif", SHOWN, endless_tiff),
        case("no-tiles.tif", NONE_OF_BOTH, lambda: tiff_of(273, 0xFFFFFF00)),
        case("marks-alone.jpg", NONE_OF_BOTH, b"\xff\xd8\xff\xd9"),
        case("dot.png", refused("image-too-small"), flat_png(1, 1)),
        case("small.png", refused("image-too-small"), flat_png(16, 16)),
        case("narrow.png", refused("image-too-narrow"), flat_png(4000, 5)),
    ]


def foreign() -> list[Case]:
    """What is no picture, or one that no reader is started for."""
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    contents = {
        "photo-that-is-eps.png": EPS,
        "drawing.eps": EPS,
        "drawing.svg": svg,
        "phone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500),
        "layers.psd": b"8BPS\0\1" + bytes(500),
        "paper.pdf": b"%PDF-1.7\n" + bytes(500),
        "old.pcx": b"\x0a\5\1\x08" + bytes(500),
        "old.tga": bytes([0, 0, 2, *([0] * 9), 64, 0, 64, 0, 24, 0]) + bytes(64 * 64 * 3),
        "meta.wmf": b"\xd7\xcd\xc6\x9a" + bytes(500),
        "sky.fits": b"SIMPLE  =                    T" + b" " * 5000,
        "fake.mic": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5000),
        "weights.png": LFS_POINTER,
        "page.png": b"<!doctype html><html></html>",
        "words.jpg": b"no picture at all\n" * 40,
        "zeros.png": bytes(50_000),
    }
    cases = [case(name, UNREADABLE, content) for name, content in contents.items()]
    sound = (ROOT / "examples" / "sentence_en.flac").read_bytes()
    clip = (ROOT / "examples" / "moves.mp4").read_bytes()
    return [
        *cases,
        case("sound.png", UNREADABLE, sound),
        case("clip.png", UNREADABLE, clip),
        case("empty.png", refused("media-empty"), b""),
    ]


def titled() -> bytes:
    """A PNG that says much about itself."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "<img src=x onerror=alert(1)>" * 100, zip=True)
    return saved("PNG", pnginfo=info)


PICTURES = [*kinds(), case("titled.png", SHOWN, titled), *bombs(), *broken(), *foreign()]
