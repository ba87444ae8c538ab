"""Picture files opened: which formats, how large, how much work, and whether all of it is there.

Knows: Pillow's readers, the inner structure of JPEG and PNG as far as their size and their end go.
Does not know: what becomes of the pixels.

A file is known by its content. Only the formats of :data:`FORMATS` are tried: other readers of
Pillow start programs (Ghostscript for EPS) or are older than care.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image as Pillow
from PIL import ImageChops

from omni.errors import MediaError
from omni.media.limits import PIECE_BYTES, Watch, WatchedFile, limits

FORMATS = (
    "PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO", "QOI",
)  # fmt: skip
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"  # a JPEG's first and last mark
_SCAN = 0xDA
_BARE_MARKS = {0x01, *range(0xD0, 0xD8)}  # that no length follows
_NO_IMAGE = bytes(range(1, 97))  # bytes that change a picture which still waits for its own
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
# Of interlaced PNG: first column, first row, step across, step down of each pass.
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_READ = 1 << 16  # bytes
# How much more memory than the others' eight bytes a pixel a decoder takes: it holds the picture
# several times over, or in wider numbers.
_WEIGHTS = {"WEBP": 2, "AVIF": 2, "JPEG2000": 3}
_WEIGHT_OF_SCANS = 2  # of a JPEG of several, whose coefficients are all kept


@contextmanager
def open_picture(
    opened: BinaryIO,
    name: str,
    most_pixels: int | None = None,
    formats: tuple[str, ...] = FORMATS,
    watch: Watch | None = None,
) -> Iterator[Pillow.Image]:
    """The picture of an open file, not loaded yet; what is asked of Pillow is within the limits.

    Args:
        name: of the file, for sentences.
        most_pixels: fewer than the limits allow.
        formats: of :data:`FORMATS`.
        watch: looked at while the file is read, also when the picture is loaded; None: nothing is.

    Raises:
        MediaError: ``image-too-large``, ``image-too-complex``, ``image-broken``.
        DecodingStopped: as ``watch`` says.
        PIL.UnidentifiedImageError: no picture of :data:`FORMATS`.
    """
    if watch is not None:
        opened = io.BufferedReader(WatchedFile(opened, watch), PIECE_BYTES)
    head = opened.read(len(_PNG))
    opened.seek(0)
    source = _with_its_end(opened, name, most_pixels) if head.startswith(_SOI) else opened
    with Pillow.open(source, formats=formats) as picture:
        check_size(*picture.size, name, most_pixels, _WEIGHTS.get(picture.format or "", 1))
        if picture.format in ("JPEG", "MPO"):
            passes = _check_passes(source, picture.size, name)
            weight = _WEIGHT_OF_SCANS if passes > 1 else 1
            check_size(*picture.size, name, most_pixels, weight)
        elif head == _PNG:
            _check_rows(opened, name)
        yield picture


def check_head(opened: BinaryIO, name: str) -> None:
    """Look at what an open file says it is, and decode nothing of it.

    Raises:
        MediaError: ``image-too-large``.
        PIL.UnidentifiedImageError: no picture of :data:`FORMATS`.
    """
    with Pillow.open(opened, formats=FORMATS) as picture:
        check_size(*picture.size, name, weight=_WEIGHTS.get(picture.format or "", 1))


def check_size(
    width: int, height: int, name: str, most: int | None = None, weight: int = 1
) -> None:
    """Refuse pictures that would fill the memory.

    Args:
        most: fewer pixels than the limits allow.
        weight: how many times the memory of other formats each pixel takes.

    Raises:
        MediaError: ``image-too-large``.
    """
    allowed = limits().picture_pixels // weight
    allowed = min(allowed, most or allowed)
    if width * height > allowed:
        raise too_large(name, allowed)


def too_large(name: str, most: int | None = None) -> MediaError:
    """The error of a picture of more than ``most`` pixels (None: than the limits allow)."""
    return MediaError(
        "image-too-large",
        "{name} has more than {millions} million pixels: make it smaller.",
        name=name,
        millions=(most or limits().picture_pixels) // 1_000_000,
    )


def _broken(name: str) -> MediaError:
    return MediaError("image-broken", "{name} is broken or incomplete: send it again.", name=name)


def _with_its_end(opened: BinaryIO, name: str, most_pixels: int | None) -> BinaryIO:
    """A JPEG, with its end mark if just that is missing; Pillow refuses it without.

    Whether all pixels are there is found by decoding it twice, with different bytes behind its
    last: where something is missing, these become pixels.
    """
    data = opened.read()
    opened.seek(0)
    if _EOI in data[-1024:]:
        return opened
    ended = io.BytesIO(data + _EOI)
    with Pillow.open(ended, formats=FORMATS) as first:
        check_size(*first.size, name, most_pixels)
        _check_passes(ended, first.size, name)
        other = io.BytesIO(data + _NO_IMAGE + _EOI)
        with Pillow.open(other, formats=FORMATS) as second:
            first.load()
            second.load()
            same = ImageChops.difference(first, second).getbbox() is None
    if not same:
        raise _broken(name)
    ended.seek(0)
    return ended


def _check_passes(source: BinaryIO, size: tuple[int, int], name: str) -> int:
    """Refuse a progressive JPEG of so many scans that it would keep a core busy for minutes.

    Returns the number of scans; of all pictures, where there are several in the file.
    """
    place = source.tell()
    source.seek(0)
    passes = sum(mark == _SCAN for mark in _jpeg_marks(source))
    source.seek(place)
    bounds = limits()
    if passes > bounds.picture_passes or passes * size[0] * size[1] > bounds.picture_work:
        raise MediaError(
            "image-too-complex",
            "{name} is stored in a way that takes too long to read: save it again as PNG or JPEG.",
            name=name,
        )
    return passes


def _jpeg_marks(source: BinaryIO) -> Iterator[int]:
    """The marks of a JPEG's segments in their order."""
    data = source.read()
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        mark = data[at + 1]
        if mark in (0x00, 0xFF):  # a byte of the picture that is 255, or filling
            at += 2 if mark == 0 else 1
            continue
        yield mark
        at += 2
        if mark not in _BARE_MARKS and at + 2 <= len(data):
            at += max(2, int.from_bytes(data[at : at + 2], "big"))


def _check_rows(opened: BinaryIO, name: str) -> None:
    """Refuse a PNG that holds fewer rows than it says: Pillow leaves the rest black."""
    place = opened.tell()
    opened.seek(len(_PNG))
    missing: int | None = None
    unpack = zlib.decompressobj()
    try:
        for kind, data in _png_chunks(opened):
            if kind == b"IHDR":
                missing = _png_bytes(data)
            elif kind == b"IDAT" and missing is not None:
                missing -= _unpacked(unpack, data, missing)
    except (zlib.error, struct.error, KeyError) as error:
        raise _broken(name) from error
    opened.seek(place)
    if missing is None or missing > 0:
        raise _broken(name)


def _png_chunks(opened: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """(kind, data) of the chunks up to the end of the picture's data; large ones in pieces."""
    while len(head := opened.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        if kind not in (b"IHDR", b"IDAT"):
            opened.seek(length + 4, io.SEEK_CUR)
            continue
        while length and (data := opened.read(min(length, _READ))):
            length -= len(data)
            yield kind, data
        opened.seek(4, io.SEEK_CUR)  # the check sum


def _unpacked(unpack: zlib._Decompress, data: bytes, most: int) -> int:
    """How many bytes ``data`` unpacks to; no more than ``most`` are looked at."""
    count = 0
    while data and count < most:
        count += len(unpack.decompress(data, _READ))
        data = unpack.unconsumed_tail
    return count


def _png_bytes(header: bytes) -> int:
    """Bytes of the rows of a PNG, each with its filter's byte (PNG specification, 7 and 8)."""
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits * _PNG_CHANNELS[colour] // 8))
    return total
