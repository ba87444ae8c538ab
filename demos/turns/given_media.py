"""What a person gives for a turn, looked at before it is copied.

Knows: which reader knows which kind of medium. Does not know: sessions, what is asked.
"""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Literal, TypeAlias

MediumKind: TypeAlias = Literal["sound", "picture", "clip"]


def check_given(path: Path, kind: MediumKind, stop: Event | None = None) -> None:
    """Refuse a file that is too large or of another kind, by its size and its first bytes.

    Raises:
        MediaError: with the sentence that reading it would give.
        DecodingStopped: ``stop`` was set.
    """
    if kind == "picture":
        from omni.media.image import check_image

        check_image(path)
    elif kind == "clip":
        from omni.media.video import check_clip

        check_clip(path)
    else:
        from omni.media.audio import check_sound

        check_sound(path, stop)
