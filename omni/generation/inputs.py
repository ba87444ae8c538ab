"""A prompt to the language model's inputs: media encoded, ids embedded.

Knows: which part of the model encodes which slot of a prompt, what each position of a prompt holds
(so that one that is known need not be computed again).
Does not know: files, the cache of the language model, what is generated.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from omni.generation.session_cache import Key, SessionCache
from omni.media.audio import AudioPiece
from omni.media.image import ImagePatches
from omni.model.protocols import SpeakingModel
from omni.prompting.slots import AudioSlot, CodesSlot, ImageSlot, Prompt, Slot

MERGED_PATCHES = 4  # of a picture, to one row
# How much goes through an encoder at once. An accelerator is quick with many rows; a CPU gains
# nothing by them, and the activations are smaller with few.
CPU_MEL_FRAMES, MEL_FRAMES = 3_000, 24_000  # 30 s and 4 minutes
CPU_PATCHES, PATCHES = 4_096, 16_384
NO_PADS = (-1, -2, -3)


class PromptInputs:
    """The inputs of one prompt, made as far as they are needed.

    Args:
        model: encodes and embeds.
        check: called between pieces of the work; what it raises ends it.
        pads: the ids that sound, pictures and frames of a clip stand under; needed for
            :meth:`keys` and for a start within the prompt.
        cache: where encoded media are kept, for ``session``.
    """

    def __init__(
        self,
        model: SpeakingModel,
        prompt: Prompt,
        check: Callable[[], None],
        pads: tuple[int, int, int] = NO_PADS,
        cache: SessionCache | None = None,
        session: str | None = None,
    ) -> None:
        self._model = model
        self._prompt = prompt
        self._check = check
        self._cache = cache if session is not None else None
        self._session = session or ""
        # Rows that stand for the pads of each kind, in order.
        kinds = [_Rows("audio"), _Rows("image"), _Rows("video")]
        self._pads = dict(zip(pads, kinds, strict=True))
        for slot in prompt.media:
            if isinstance(slot, AudioSlot | CodesSlot):
                kinds[0].add(slot)
            else:
                kinds[1 if isinstance(slot, ImageSlot) else 2].add(slot)

    def keys(self) -> list[Key]:
        """What each position holds: an id as itself, a pad as the content it stands for."""
        rows = {pad: kind.keys() for pad, kind in self._pads.items()}
        return [next(rows[token], token) if token in rows else token for token in self._prompt.ids]

    @torch.inference_mode()
    def embed(self, start: int = 0) -> Tensor:
        """The embeddings (1, ids, hidden) of the positions from ``start`` on.

        Media that stand before ``start`` are not encoded.

        Raises:
            ValueError: there are more or fewer pads than rows.
        """
        ids = self._prompt.ids[start:]
        before = self._prompt.ids[:start]
        needed = {kind.name: kind.after(before.count(pad)) for pad, kind in self._pads.items()}
        made = self._encode([unit for units, _ in needed.values() for unit in units])
        rows = {
            name: _joined([made[unit] for unit in units], skipped)
            for name, (units, skipped) in needed.items()
        }
        self._check()
        tokens = torch.tensor([ids])
        embeds = self._model.embed(tokens, rows["audio"], rows["image"], rows["video"])
        if made and embeds.numel():
            embeds[0, -1, 0].item()  # the device has done its work: the time is the encoding's
        return embeds

    def _encode(self, units: Sequence[_Unit]) -> dict[_Unit, Tensor]:
        """The rows of each unit: codes for sound, embeddings for pictures."""
        made: dict[_Unit, Tensor] = {}
        missing: dict[Key, list[_Unit]] = {}
        for unit in units:
            found = self._kept(unit)
            if found is None:
                missing.setdefault(unit.key, []).append(unit)
            else:
                made[unit] = found
        wanted = [same[0] for same in missing.values()]
        cpu = _on_cpu(self._model)
        sounds = [unit for unit in wanted if isinstance(unit, _Sound)]
        pictures = [unit for unit in wanted if isinstance(unit, _Picture)]
        with _stoppable(self._model, self._check):
            for group in _groups(sounds, CPU_MEL_FRAMES if cpu else MEL_FRAMES):
                self._check()
                codes = self._model.encode_audio([unit.piece for unit in group])
                made.update(self._keep(group, codes))
            for images in _groups(pictures, CPU_PATCHES if cpu else PATCHES):
                self._check()
                rows = self._model.encode_images([unit.image for unit in images])
                made.update(self._keep(images, rows.split([unit.rows for unit in images])))
        for same in missing.values():
            made.update(dict.fromkeys(same, made[same[0]]))
        return made

    def _kept(self, unit: _Unit) -> Tensor | None:
        if isinstance(unit, _Codes):
            return unit.codes
        found = self._cache.get(self._session, unit.key) if self._cache else None
        return found if isinstance(found, Tensor) else None

    def _keep(self, group: Sequence[_Unit], rows: Sequence[Tensor]) -> dict[_Unit, Tensor]:
        made = dict(zip(group, rows, strict=True))
        if self._cache:
            for unit, tensor in made.items():
                # A copy: a view would hold the memory of the whole group.
                size = tensor.numel() * tensor.element_size()
                self._cache.put(self._session, unit.key, tensor.clone(), size)
        return made


class _Unit(ABC):
    """What is encoded by itself; ``rows``: how many rows it gives."""

    rows: int

    @property
    @abstractmethod
    def key(self) -> Key:
        """Equal for equal content."""

    @property
    @abstractmethod
    def size(self) -> int:
        """What the work grows with."""

    def keys(self) -> Iterator[Key]:
        """Of each row."""
        return ((self.key, row) for row in range(self.rows))


class _Sound(_Unit):
    """A piece of sound; its size is in mel frames."""

    def __init__(self, piece: AudioPiece) -> None:
        self.piece = piece
        self.rows = piece.bridge_length

    @cached_property
    def key(self) -> Key:
        """Equal for equal sound."""
        return _digest(self.piece.mel)

    @property
    def size(self) -> int:
        """Mel frames."""
        return self.piece.mel.shape[-1]


class _Picture(_Unit):
    """A picture or a frame of a clip; its size is in patches."""

    def __init__(self, image: ImagePatches) -> None:
        self.image = image
        height, width = image.grid
        self.rows = height * width // MERGED_PATCHES

    @cached_property
    def key(self) -> Key:
        """Equal for equal patches in an equal grid."""
        return _digest(self.image.patches), tuple(self.image.grid)

    @property
    def size(self) -> int:
        """Patches."""
        return len(self.image.patches)


class _Codes(_Unit):
    """Codes ``(frames, codebooks)``, which need no encoding."""

    def __init__(self, codes: Tensor) -> None:
        self.codes = codes
        self.rows = len(codes)

    @cached_property
    def key(self) -> Key:
        """Equal for equal codes."""
        return tuple(frame_keys(self.codes))

    @property
    def size(self) -> int:
        """Nothing is to be encoded."""
        return 0

    def keys(self) -> Iterator[Key]:
        """One of each frame."""
        return iter(frame_keys(self.codes))


U = TypeVar("U", bound=_Unit)


class _Rows:
    """The units of one kind of pad, in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.units: list[_Unit] = []

    def add(self, slot: Slot) -> None:
        """Take a medium; a long recording is several units."""
        if isinstance(slot, CodesSlot):
            self.units.append(_Codes(torch.as_tensor(slot.codes)))
        elif isinstance(slot, AudioSlot):
            self.units += map(_Sound, slot.pieces)
        else:
            self.units.append(_Picture(slot.image))

    def keys(self) -> Iterator[Key]:
        """What stands at the pads, row by row."""
        for unit in self.units:
            yield from unit.keys()

    def after(self, count: int) -> tuple[list[_Unit], int]:
        """The units with rows behind the first ``count``, and how many rows of them to skip."""
        for index, unit in enumerate(self.units):
            if count < unit.rows:
                return self.units[index:], count
            count -= unit.rows
        return [], 0


def frame_keys(codes: Tensor | np.ndarray) -> list[Key]:
    """What the positions hold that stand for frames of codes (frames, codebooks)."""
    return [("frame", *row) for row in codes.tolist()]


@torch.inference_mode()
def embed_id(model: SpeakingModel, token: int) -> Tensor:
    """The embedding (1, 1, hidden) of an id that stands for itself."""
    table = model.get_input_embeddings()
    return table(torch.tensor([[token]], device=table.weight.device))


@contextmanager
def _stoppable(model: SpeakingModel, check: Callable[[], None]) -> Iterator[None]:
    """``check`` is called before every layer of an encoder, of which one pass may take seconds."""

    def before(layer: nn.Module, given: tuple[object, ...]) -> None:
        """Check, whatever the layer is given."""
        check()

    hooks = [layer.register_forward_pre_hook(before) for layer in model.encoder_layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _groups(units: Sequence[U], limit: int) -> Iterator[list[U]]:
    """Units in order, as many together as ``limit`` allows, one at least."""
    group: list[U] = []
    size = 0
    for unit in units:
        if group and size + unit.size > limit:
            yield group
            group, size = [], 0
        group.append(unit)
        size += unit.size
    if group:
        yield group


def _on_cpu(model: SpeakingModel) -> bool:
    return bool(model.get_input_embeddings().weight.device.type == "cpu")


def _digest(content: Tensor) -> bytes:
    """Of the values, for telling contents apart."""
    values = content.detach().cpu().contiguous()
    digest = hashlib.sha256(repr(tuple(values.shape)).encode())
    digest.update(values.view(torch.uint8).numpy().data)
    return digest.digest()


def _joined(tensors: list[Tensor], skipped: int) -> Tensor | None:
    """All of them in one on the first one's device, less the first rows; None without any."""
    if not tensors:
        return None
    return torch.cat([tensor.to(tensors[0].device) for tensor in tensors])[skipped:]
