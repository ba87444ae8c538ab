"""Files that other programs, bad networks and bad intent bring: made on the spot, each with a name.

What each of them should come to is said where it is used.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import av
import numpy as np
import soundfile
from PIL import Image as Pillow

from tests.support.media_files import fill_track, tone, write_sound

PNG = b"\x89PNG\r\n\x1a\n"


def wav_of_size(path: Path, size: int, seconds: float = 1.0) -> Path:
    """A good wav of 16 kHz whose header says that its data have ``size`` bytes."""
    write_sound(path, tone(seconds))
    content = bytearray(path.read_bytes())
    content[40:44] = size.to_bytes(4, "little")
    path.write_bytes(bytes(content))
    return path


def packed_sound(kind: str, seconds: float, rate: int = 44_100, channels: int = 1) -> bytes:
    """A tone as mp3, ogg (Vorbis), adts (bare AAC) or mp4 (AAC)."""
    target = io.BytesIO()
    if kind == "ogg":
        soundfile.write(target, tone(seconds, rate, channels), rate, format="OGG")
        return target.getvalue()
    codec = {"mp3": "libmp3lame", "adts": "aac", "mp4": "aac"}[kind]
    layout = {1: "mono", 2: "stereo"}[channels]
    with av.open(target, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        fill_track(container, stream, tone(seconds, rate, channels))
    return target.getvalue()


def with_damage(content: bytes, at: float, length: int = 400) -> bytes:
    """``content`` with ``length`` bytes at the share ``at`` overwritten."""
    place = round(len(content) * at)
    draws = np.random.default_rng(7).integers(0, 256, length, dtype=np.uint8)
    return content[:place] + draws.tobytes() + content[place + length :]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG with its check sum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def flat_png(width: int, height: int, *, bits: int = 8, colour: int = 0, rows: int = -1) -> bytes:
    """A PNG of zeros.

    Args:
        colour: its type, as the PNG specification counts them.
        rows: that it really holds; negative: all.
    """
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = bytes(1 + -(-width * bits * channels // 8))
    pack = zlib.compressobj(9)
    data = b"".join(pack.compress(row) for _ in range(height if rows < 0 else rows)) + pack.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    palette = png_chunk(b"PLTE", bytes(3)) if colour == 3 else b""
    parts = png_chunk(b"IHDR", header), palette, png_chunk(b"IDAT", data), png_chunk(b"IEND", b"")
    return PNG + b"".join(parts)


def jpeg(width: int = 320, height: int = 240, **options: object) -> bytes:
    """A picture with something in every part of it."""
    draws = np.random.default_rng(3).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    picture = Pillow.fromarray(draws).resize((width, height), Pillow.Resampling.BICUBIC)
    target = io.BytesIO()
    picture.save(target, "JPEG", quality=80, **options)
    return target.getvalue()


def many_scans(count: int, size: int = 512) -> bytes:
    """A progressive JPEG whose last scan is repeated until there are about ``count``."""
    content = jpeg(size, size, progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + content[-2:]


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\nshowpage\n%%EOF\n"
LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    b"size 12345678\n"
)
