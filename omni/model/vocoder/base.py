"""What every vocoder class is made of, so that a checkpoint may bring any of them.

Knows: what loading asks of a vocoder and of its configuration. Does not know: any vocoder
(:mod:`omni.model.vocoder.kinds` has the list).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn

from omni.model.protocols import WaveStream


class VocoderSizes(Protocol):
    """A vocoder's configuration: a frozen dataclass."""

    @property
    def in_channels(self) -> int:
        """Mel bins."""

    @property
    def sampling_rate(self) -> int:
        """Of the sound, Hz."""

    @property
    def samples_per_frame(self) -> int:
        """Samples of a mel frame."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The sizes of a JSON object; unknown keys are ignored."""


class VocoderModel(nn.Module, ABC):
    """A module that is a :class:`omni.model.protocols.Vocoder`, made from its configuration."""

    config_class: ClassVar[type[VocoderSizes]]
    landmark: ClassVar[str]
    """A tensor that every file of this class has: what stands before its name is a prefix."""
    samples_per_frame: int

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """In which it computes."""

    @abstractmethod
    def forward(self, mel: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """``(batch, mel bins, frames)`` to samples ``(batch, frames * samples_per_frame)``."""

    @abstractmethod
    def stream(self, *, generator: torch.Generator | None = None) -> WaveStream:
        """A new sequence whose frames come piece by piece."""

    def adapt(self, names: Collection[str]) -> None:
        """Take the form in which the tensors of these names were saved, if there are several."""

    def for_inference(self) -> Self:
        """Faster, with the same sound, and not for training any more. Returns self."""
        return self.requires_grad_(False)
