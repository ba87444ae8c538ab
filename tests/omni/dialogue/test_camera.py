"""The camera's ring."""

from __future__ import annotations

from omni.dialogue.camera import LARGEST_FRAME, CameraRing


def test_the_ring_keeps_the_last_frames_alone() -> None:
    ring = CameraRing(size=3)
    for at in range(5):
        ring = ring.plus(bytes([at]), at)
    ring = ring.plus(b"x" * (LARGEST_FRAME + 1), 9)
    assert len(ring) == 3
    assert ring.between(3, 9) == (b"\x03", b"\x04")
    assert ring.between(8, 9) == (b"\x04",)  # the last still
    assert ring.between(0, 1) == ()
    assert ring.since(4).between(0, 9) == (b"\x04",)
    assert ring.since(9).between(0, 9) == (b"\x04",)  # the newest stays
    assert len(CameraRing().since(0)) == 0
