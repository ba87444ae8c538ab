"""The media of rows as a training run reads them: encoded once, then from the cache.

Knows: that recordings and speech targets become codes, pictures and frames what the tower sees in
them, by encoders that are never trained; what each depends on. Does not know: rows, prompts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from finetune.lora.data.cache import MediaCache
from omni.config import OmniConfig, VisualConfig
from omni.media.audio import audio_pieces
from omni.media.image import ImagePatches, image_patches, read_image
from omni.media.video import iter_frames
from omni.model.layers.pretrained import device_of
from omni.model.omni import OmniForCausalLM
from omni.prompting.media_slots import MediaSlots
from omni.prompting.slots import CodesSlot, FrameSlot, ImageSlot

FORM = 1  # of the entries; another number makes all of them anew


class Encoders(Protocol):
    """What turns media into what is learnt from, by frozen weights."""

    def codes(self, mels: Sequence[Tensor]) -> Tensor:
        """int64 (codes, codebooks) of the mels (mel bins, frames) of one recording."""
        ...

    def features(self, picture: ImagePatches) -> Tensor:
        """(patches, embed_dim): what the tower gives, before the bridge; on the CPU."""
        ...

    @property
    def sound_identity(self) -> str:
        """Of the weights that codes depend on."""
        ...

    @property
    def sight_identity(self) -> str:
        """Of the weights that features depend on."""
        ...


class FrozenEncoders:
    """Those of a loaded model, which must keep them while media are encoded."""

    def __init__(self, model: OmniForCausalLM) -> None:
        audio, tower = model.audio_tokenizer, model.model.visual_model
        self._audio, self._tower = audio, tower
        self.sound_identity = weights_hash(audio.audio_model, audio.audio_bridge_model)
        self.sight_identity = weights_hash(tower)

    def codes(self, mels: Sequence[Tensor]) -> Tensor:
        """See :class:`Encoders`."""
        return torch.cat(self._audio.encode(mels)).cpu()

    @torch.no_grad()
    def features(self, picture: ImagePatches) -> Tensor:
        """See :class:`Encoders`."""
        device = device_of(self._tower.patch_embed.proj)
        seen: Tensor = self._tower(picture.patches.to(device), [picture.grid])
        return seen.cpu()


@dataclass(frozen=True, eq=False)
class SeenPicture(ImageSlot):
    """A picture whose features are known; its ``image`` has no patches."""

    features: Tensor  # (patches, embed_dim)


@dataclass(frozen=True, eq=False)
class SeenFrame(FrameSlot):
    """A frame whose features are known; its ``image`` has no patches."""

    features: Tensor  # (patches, embed_dim)


class CachedMedia(MediaSlots):
    """Reads files for one checkpoint, each once as long as the cache has room."""

    def __init__(self, config: OmniConfig, encoders: Encoders, cache: MediaCache) -> None:
        super().__init__(config)
        self._encoders = encoders
        self._cache = cache

    def sound(self, path: Path) -> CodesSlot:
        """A sound file in which something can be heard, as codes."""
        identity = self._encoders.sound_identity
        key = self._cache.key(path, FORM, "codes", identity, self._audio)
        return CodesSlot(self._cache.get(key, lambda: self._codes(path)))

    def picture(self, path: Path) -> SeenPicture:
        """A picture, as what the tower sees in it."""
        key = self._key(path, "picture", self._visual)
        kept = self._cache.get(key, lambda: self._seen([read_image(path)], self._visual))
        patches, features = _unpacked(kept[0])
        return SeenPicture(patches, features)

    def frames(self, path: Path) -> Iterator[SeenFrame]:
        """The frames of a clip, as what the tower sees in them."""
        video = self._video
        key = self._key(path, "frames", video)
        frames = self._cache.get(
            key, lambda: self._seen(iter_frames(path, video.max_frame_num), video)
        )
        for frame in frames:
            patches, features = _unpacked(frame)
            yield SeenFrame(patches, features)

    def _key(self, path: Path, kind: str, config: VisualConfig) -> str:
        return self._cache.key(path, FORM, kind, self._encoders.sight_identity, config)

    def _codes(self, path: Path) -> np.ndarray:
        pieces = audio_pieces(self._samples(path, self._audio.sampling_rate), self._audio)
        codes = self._encoders.codes([piece.mel for piece in pieces])
        return codes.numpy().astype(np.int32)

    def _seen(
        self, pictures: Iterator[Image.Image] | list[Image.Image], config: VisualConfig
    ) -> np.ndarray:
        """(pictures, rows, columns, embed_dim); bfloat16 as its 16 bits."""
        seen = []
        for picture in pictures:
            patches = image_patches(picture, config)
            features = self._encoders.features(patches)
            if features.dtype == torch.bfloat16:  # which numpy has not
                features = features.view(torch.uint16)
            seen.append(features.view(*patches.grid, -1).numpy())
        return np.stack(seen)


def weights_hash(*parts: nn.Module) -> str:
    """Of every weight, and of the dtype in which it is."""
    digest = hashlib.sha256()
    for part in parts:
        for name, tensor in sorted(part.state_dict().items()):
            if tensor.is_meta:  # nothing reads it, and it was not kept
                continue
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            values = tensor.detach().cpu().contiguous().flatten()
            digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _unpacked(kept: np.ndarray) -> tuple[ImagePatches, Tensor]:
    """A picture of (rows, columns, embed_dim) as its grid and features."""
    features = torch.from_numpy(kept.reshape(-1, kept.shape[-1]))
    if features.dtype == torch.uint16:
        features = features.view(torch.bfloat16)
    grid = (int(kept.shape[0]), int(kept.shape[1]))
    return ImagePatches(torch.empty(0), grid), features
