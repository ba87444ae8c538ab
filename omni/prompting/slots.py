"""What the model reads: token ids, and the media that stand at their pads.

Knows: which pad stands for what. Does not know: how a prompt is written
(:mod:`omni.prompting.writer`), how media become embeddings (:mod:`omni.generation.inputs`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from omni.media.audio import AudioPiece
from omni.media.image import ImagePatches


@dataclass(frozen=True, eq=False)
class AudioSlot:
    """Sound to encode: as many audio pads in the prompt as its pieces have codes."""

    pieces: list[AudioPiece]

    @property
    def frames(self) -> int:
        """Frames of codes that the sound will have."""
        return sum(piece.bridge_length for piece in self.pieces)


@dataclass(frozen=True, eq=False)
class CodesSlot:
    """Speech that the model generated: int (frames, codebooks), one audio pad a frame."""

    codes: np.ndarray

    @property
    def frames(self) -> int:
        """Frames of codes."""
        return len(self.codes)


@dataclass(frozen=True, eq=False)
class ImageSlot:
    """A picture: one image pad a row."""

    image: ImagePatches


@dataclass(frozen=True, eq=False)
class FrameSlot:
    """A frame of a clip: one video place a row."""

    image: ImagePatches


Slot: TypeAlias = AudioSlot | CodesSlot | ImageSlot | FrameSlot


@dataclass(frozen=True, eq=False)
class Prompt:
    """What the model reads: ids, and in their order the media that the pads stand for."""

    ids: list[int]
    media: tuple[Slot, ...] = ()

    @property
    def tokens(self) -> int:
        """Ids in all."""
        return len(self.ids)
