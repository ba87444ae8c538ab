"""The pages of an Ogg file: whether all of them are there and whole.

Knows: RFC 3533. Does not know: what is in the packets, who decodes them.

FFmpeg passes over a page whose check sum is wrong, and with it up to a second of sound, without a
word.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from omni.media.limits import Watch

MARK = b"OggS"
_HEAD = struct.Struct("<4sBBqIIIB")  # mark, version, flags, time, serial, number, sum, lacings
_FIRST, _LAST = 0x02, 0x04  # of the flags: a stream begins, ends
_BEHIND = 1 << 20  # bytes behind the last page in which another one is looked for
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def lacks_pages(file: Path, watch: Watch) -> bool:
    """Whether a page is damaged, missing or cut off.

    Several streams, beside or behind each other, are fine, and what other programs put behind them.
    """
    numbers: dict[int, int] = {}  # of each stream's last page
    flags = 0
    with file.open("rb") as opened:
        while head := opened.read(_HEAD.size):
            watch.check()
            if head[:4] != MARK:
                return not flags & _LAST or MARK in head + opened.read(_BEHIND)
            if len(head) < _HEAD.size:
                return True
            _, _, flags, _, serial, number, told, lacings = _HEAD.unpack(head)
            body = _body(opened, lacings)
            if body is None or check_sum(head[:22] + bytes(4) + head[26:] + body) != told:
                return True
            if not flags & _FIRST and numbers.get(serial, number - 1) != number - 1:
                return True
            numbers[serial] = number
    return False


def check_sum(page: bytes) -> int:
    """Of a page in whose place for it zeros stand.

    The polynomial is zlib's, each byte the other way round, nothing inverted (RFC 3533, 6).
    """
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _body(opened: BinaryIO, lacings: int) -> bytes | None:
    """Sizes and data behind a page's head; None: they are cut off."""
    sizes = opened.read(lacings)
    data = opened.read(sum(sizes))
    return sizes + data if len(sizes) == lacings and len(data) == sum(sizes) else None
