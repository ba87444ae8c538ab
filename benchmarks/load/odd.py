"""Small files that cost much where nothing bounds them, made on the spot.

Knows: formats. Does not know: what an app does with them.
"""

from __future__ import annotations

import io
import json
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import av
import numpy as np
import soundfile
from PIL import Image as Pillow

from omni.shipped import ASSETS

PNG = b"\x89PNG\r\n\x1a\n"
LAYERS = 1_000_000


def deep_png(side: int) -> bytes:
    """A PNG of side x side grey pixels of 16 bits, all black."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    pack = zlib.compressobj(9)
    row = bytes(1 + 2 * side)
    data = b"".join(pack.compress(row) for _ in range(side)) + pack.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, 0, 0, 0, 0))
    return PNG + head + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def flat_jpeg(side: int) -> bytes:
    """A grey JPEG."""
    target = io.BytesIO()
    Pillow.new("L", (side, side)).save(target, "JPEG", quality=10, optimize=True)
    return target.getvalue()


def claiming_jpeg(side: int) -> bytes:
    """A JPEG of a few kB that says it has side x side pixels, in colour and progressive."""
    target = io.BytesIO()
    draws = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Pillow.fromarray(draws).save(target, "JPEG", progressive=True)
    content = bytearray(target.getvalue())
    struct.pack_into(">HH", content, content.index(b"\xff\xc2") + 5, side, side)
    return bytes(content)


def many_scans(count: int, side: int) -> bytes:
    """A progressive JPEG of so many scans with next to nothing in each."""
    target = io.BytesIO()
    Pillow.new("RGB", (side, side), (90, 20, 20)).save(target, "JPEG", progressive=True)
    content = target.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * count + content[-2:]


def clip(width: int, height: int, frames: int) -> bytes:
    """A clip of grey frames, one a second."""
    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=1)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8))
        for number in range(frames):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


def wide_ogg(channels: int, seconds: float) -> bytes:
    """Silence in very many channels."""
    target = io.BytesIO()
    with soundfile.SoundFile(target, "w", 8000, channels, format="OGG") as file:
        for _ in range(round(seconds)):
            file.write(np.zeros((8000, channels), np.float32))
    return target.getvalue()


def long_mp3(minutes: float) -> bytes:
    """Noise at 8 kbit/s."""
    target = io.BytesIO()
    second = (0.1 * np.random.default_rng(0).standard_normal(16_000)).astype(np.float32)
    with av.open(target, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=16_000, layout="mono")
        stream.bit_rate = 8_000
        for number in range(round(60 * minutes)):
            frame = av.AudioFrame.from_ndarray(second[None, :], "fltp", "mono")
            frame.sample_rate, frame.pts = 16_000, number * 16_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


def bomb(unpacked: int) -> bytes:
    """A conversation with a picture of zeros."""
    target = io.BytesIO()
    message = {"role": "user", "parts": [{"type": "image", "file": "a.png"}]}
    table = {"format": "omni-conversation", "version": 1, "messages": [message]}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversation.json", json.dumps(table))
        with archive.open("a.png", "w") as file:
            for _ in range(unpacked // 1_000_000):
                file.write(bytes(1_000_000))
    return target.getvalue()


def deep_checkpoint(folder: Path) -> Path:
    """The embedded checkpoint, whose config says that it has a million layers."""
    source = next(path.parent for path in ASSETS.rglob("config.json"))
    copy = folder / "deep"
    shutil.copytree(source, copy)
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    config["num_hidden_layers"] = LAYERS
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return copy
