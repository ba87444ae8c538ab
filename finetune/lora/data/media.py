"""The media of rows as a training run reads them: encoded once, then from the cache.

Knows: that recordings and speech targets become codes by a frozen encoder, pictures and frames
pixels of the size at which the tower sees them; what each depends on.
Does not know: rows, prompts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from finetune.lora.data.cache import MediaCache
from omni.config import OmniConfig, VisualConfig
from omni.media.audio import audio_pieces
from omni.media.image import image_patches, read_image, resized
from omni.media.video import iter_frames
from omni.model.audio.audio_tokenizer import AudioTokenizer
from omni.prompting.media_slots import MediaSlots
from omni.prompting.slots import CodesSlot, FrameSlot, ImageSlot

FORM = 1  # of the entries; another number makes all of them anew


class SoundEncoder(Protocol):
    """Sound to codes; see :class:`omni.model.audio.audio_tokenizer.AudioTokenizer`."""

    def encode(self, mels: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """int64 (codes, codebooks) of each mel (mel bins, frames)."""
        ...


class CachedMedia(MediaSlots):
    """Reads files for one checkpoint, each once as long as the cache has room."""

    def __init__(
        self, config: OmniConfig, encoder: SoundEncoder, identity: str, cache: MediaCache
    ) -> None:
        """
        Args:
            encoder: what makes codes of sound.
            identity: of the encoder's weights, see :func:`encoder_identity`.
        """
        super().__init__(config)
        self._encoder = encoder
        self._identity = identity
        self._cache = cache

    def sound(self, path: Path) -> CodesSlot:
        """A sound file in which something can be heard, as codes."""
        parameters = repr(self._audio)
        key = self._cache.key(path, FORM, "codes", self._identity, parameters)
        return CodesSlot(self._cache.get(key, lambda: self._codes(path)))

    def picture(self, path: Path) -> ImageSlot:
        """A picture."""
        key = self._cache.key(path, FORM, "picture", _sizes(self._visual))
        pixels = self._cache.get(key, lambda: _pixels(read_image(path), self._visual)[None])
        return ImageSlot(image_patches(Image.fromarray(pixels[0]), self._visual))

    def frames(self, path: Path) -> Iterator[FrameSlot]:
        """The frames of a clip."""
        most = self._video.max_frame_num
        key = self._cache.key(path, FORM, "frames", _sizes(self._video), most)
        pixels = self._cache.get(key, lambda: self._clip(path))
        for frame in pixels:
            yield FrameSlot(image_patches(Image.fromarray(frame), self._video))

    def _codes(self, path: Path) -> np.ndarray:
        pieces = audio_pieces(self._samples(path, self._audio.sampling_rate), self._audio)
        codes = torch.cat(self._encoder.encode([piece.mel for piece in pieces]))
        return codes.cpu().numpy().astype(np.int32)

    def _clip(self, path: Path) -> np.ndarray:
        frames = iter_frames(path, self._video.max_frame_num)
        return np.stack([_pixels(frame, self._video) for frame in frames])


def encoder_identity(tokenizer: AudioTokenizer) -> str:
    """A hash of every weight that codes depend on, and of the dtype in which it is."""
    digest = hashlib.sha256()
    for part in (tokenizer.audio_model, tokenizer.audio_bridge_model):
        for name, tensor in sorted(part.state_dict().items()):
            if tensor.is_meta:  # nothing reads it, and it was not kept
                continue
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            values = tensor.detach().cpu().contiguous().flatten()
            digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _pixels(picture: Image.Image, config: VisualConfig) -> np.ndarray:
    """uint8 (height, width, 3), as the tower sees it; resizing it again changes nothing."""
    return np.array(resized(picture, config))


def _sizes(config: VisualConfig) -> tuple[int, ...]:
    """What the size of a picture depends on."""
    return (config.patch_size, config.merge_size, config.min_pixels, config.max_pixels)
