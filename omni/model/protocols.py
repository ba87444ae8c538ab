"""What the rest asks of a model and of its vocoder, whatever their classes are.

Knows: the methods that generation and speech call, with shapes. Does not know: who has them
(:class:`omni.model.omni.OmniForCausalLM`, :mod:`omni.model.vocoder.kinds`, the tests' scripts).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from omni.libraries.hugging_face import DynamicCache
from omni.model.layers.key_values import KeyValues, Preallocated
from omni.model.layers.rotary import Grid
from omni.model.streaming import WaveStream

Pick = Callable[[int, Tensor], Tensor]
"""A codebook's index and its scores ``(frames, codes)`` to the codes drawn ``(frames,)``."""


class Mel(Protocol):
    """A piece of sound, ready for the audio encoder."""

    @property
    def mel(self) -> Tensor:
        """Log-mel, float32 ``(mel bins, frames)``."""


class Patches(Protocol):
    """A picture or a frame of a clip, ready for the vision tower."""

    @property
    def patches(self) -> Tensor:
        """``(rows * columns, values)``."""

    @property
    def grid(self) -> Grid:
        """Rows and columns of patches."""


class CodeSizes(Protocol):
    """The sizes of audio codes in a configuration."""

    @property
    def codebook_sizes(self) -> Sequence[int]:
        """Codes of each codebook."""

    @property
    def num_codebooks(self) -> int:
        """Codes of a frame."""


class Sizes(Protocol):
    """What generation reads of a configuration."""

    @property
    def max_position_embeddings(self) -> int:
        """The longest context, positions."""

    @property
    def vocab_size(self) -> int:
        """Rows of the text head."""

    @property
    def audio(self) -> CodeSizes:
        """Of audio codes."""


class CodeHead(Protocol):
    """Hidden states to the codes of a frame."""

    def generate(self, hidden: Tensor, pick: Pick) -> Tensor:
        """``hidden (frames, width)`` to codes int64 ``(frames, codebooks)``."""


@runtime_checkable
class SpeakingModel(Protocol):
    """A language model that reads text, sound and pictures, and draws text and audio codes."""

    @property
    def config(self) -> Sizes:
        """Its sizes."""

    @property
    def audio_head(self) -> CodeHead:
        """Draws a frame's codes."""

    @property
    def lm_head(self) -> Callable[[Tensor], Tensor]:
        """Hidden states ``(..., hidden)`` to text scores ``(..., vocab_size)``."""

    @property
    def encoder_layers(self) -> Sequence[nn.Module]:
        """The layers of the encoders of media: long work may be given up between two of them."""

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of token embeddings."""

    def new_key_values(self) -> KeyValues | None:
        """Memory for one context; None where transformers' caches are needed."""

    def encode_audio(self, pieces: Sequence[Mel]) -> list[Tensor]:
        """Codes int64 ``(codes, codebooks)`` of each piece."""

    def encode_images(self, images: Sequence[Patches]) -> Tensor:
        """Rows of pictures in order, ``(sum of patches / 4, hidden)``."""

    def embed(
        self,
        input_ids: Tensor,
        audio_codes: Tensor | None = None,
        image_rows: Tensor | None = None,
        video_rows: Tensor | None = None,
    ) -> Tensor:
        """Ids ``(batch, positions)``, with media at their pads, to ``(batch, positions, hidden)``.

        Raises:
            ValueError: there are more or fewer pads than rows.
        """

    def embed_codes(self, codes: Tensor) -> Tensor:
        """Codes ``(..., codebooks)`` to input rows ``(..., hidden)``."""

    def hidden(
        self, inputs_embeds: Tensor, past_key_values: DynamicCache | Preallocated | None = None
    ) -> Tensor:
        """States ``(batch, positions, hidden)`` after the final norm; extends the past."""


@runtime_checkable
class Vocoder(Protocol):
    """Mel to sound."""

    @property
    def samples_per_frame(self) -> int:
        """Samples of a mel frame."""

    @property
    def device(self) -> torch.device:
        """Where it computes, and wants its mel."""

    @property
    def dtype(self) -> torch.dtype:
        """In which it computes, and wants its mel."""

    def __call__(self, mel: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """``(batch, mel bins, frames)`` to samples ``(batch, frames * samples_per_frame)``.

        ``generator`` draws whatever noise there is.
        """

    def stream(self, *, generator: torch.Generator | None = None) -> WaveStream:
        """A new sequence whose frames come piece by piece."""
