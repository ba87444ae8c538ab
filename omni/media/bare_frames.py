"""Frames of sound that stand in a file one behind the other, with no container around them.

Knows: how long an ADTS or an MPEG layer III frame says that it is. Does not know: what is in it.

Such a file does not say how long it is. That it was cut off shows in its last frame alone.
"""

from __future__ import annotations

# Source: ISO/IEC 11172-3 2.4.2.3 and 13818-3; kbit/s by their index.
_KBITS = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_MPEG_1, _LAYER_3 = 3, 1
_SHORTEST = 7  # bytes of a head


def is_cut_short(frame: bytes) -> bool:
    """Whether a frame has fewer bytes than its head says; False for what is no such frame."""
    if len(frame) < _SHORTEST or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return False
    promised = _adts(frame) if frame[1] & 0xF6 == 0xF0 else _layer_3(frame)
    return len(frame) < promised


def _adts(frame: bytes) -> int:
    return (frame[3] & 3) << 11 | frame[4] << 3 | frame[5] >> 5


def _layer_3(frame: bytes) -> int:
    """Bytes; 0: no frame of this layer, or one of a free rate."""
    version, layer = frame[1] >> 3 & 3, frame[1] >> 1 & 3
    kbits, rate = frame[2] >> 4, frame[2] >> 2 & 3
    if layer != _LAYER_3 or version == 1 or rate == 3 or kbits == 15:
        return 0
    first = version == _MPEG_1
    bits = 1000 * _KBITS[1 if first else 2][kbits]
    padding = frame[2] >> 1 & 1
    return (144 if first else 72) * bits // _RATES[version][rate] + padding if bits else 0
