"""What a load does about kept weights: takes them where they are good, makes them where asked.

Knows: which loads have weights to keep. Does not know: the order of loading, user interfaces.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from omni.errors import BusyError, ResourceError
from omni.events import Progress
from omni.loading.checkpoint import Checkpoint
from omni.loading.kept import folders, shelf
from omni.loading.kept.checkpoint import QuantizedCheckpoint
from omni.loading.kept.shelf import Source
from omni.loading.kept.writing import Work, write
from omni.loading.placement import Placement

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Keepable:
    """A load whose quantized weights can be kept."""

    work: Work

    @cached_property
    def source(self) -> Source:
        """The source as it was when it was first asked for."""
        return Source.of(self.work.source, self.work.vocoder)

    @property
    def bytes(self) -> int:
        """What the weights take on the disk, at most."""
        return self.work.bytes

    @property
    def dtype(self) -> str:
        """Of what stays precise, as settings spell it."""
        return str(self.work.dtype).removeprefix("torch.")

    @property
    def place(self) -> Path:
        """Where on the shelf."""
        return shelf.place_for(self.source, self.work.bits, self.dtype)

    def found(self) -> QuantizedCheckpoint | None:
        """What is kept and good."""
        entry = shelf.look(self.place, self.source)
        if entry is None:
            return None
        if entry.state != "ready":
            logger.info("%s is not used: %s", entry.folder, entry.state)
            return None
        shelf.touch(entry)
        return QuantizedCheckpoint(entry.model, self.work.source.name)

    def keep(self) -> Generator[Progress, None, QuantizedCheckpoint]:
        """Quantize the source and keep it, unless that is done already.

        Raises:
            BusyError: ``kept-busy``, somebody is doing it.
            CheckpointError: weights that are no numbers.
            ResourceError: the disk is too small, full or read-only.
        """
        found = self.found()
        if found is not None:
            return found
        folders.sweep(self.place.parent)
        old = shelf.look(self.place, self.source)
        if old is not None:  # of no use, and its room may be needed
            shelf.remove(old)
        yield from write(self.work, self.place, shelf.MODEL, self._record)
        return QuantizedCheckpoint(self.place / shelf.MODEL, self.work.source.name)

    def _record(self, folder: Path) -> None:
        shelf.write_record(folder, self.source, self.work.bits, self.dtype, self.work.vocoder)


def keepable_load(
    source: Checkpoint, vocoder: Path, placement: Placement, dtype: torch.dtype
) -> Keepable | None:
    """What a load of ``source`` can keep; None: nothing is quantized, or the files are already."""
    bits = placement.plan.quantization
    if bits == "none" or isinstance(source, QuantizedCheckpoint):
        return None
    return Keepable(Work(source, vocoder, bits, dtype, placement.places[""]))


def taken(
    keepable: Keepable | None, make: bool
) -> Generator[Progress, None, QuantizedCheckpoint | None]:
    """The kept weights to load; None: the source itself is loaded.

    Args:
        make: quantize and keep them first where there are none. What the disk does not allow is
            told in the log, and the load goes on without.
    """
    if keepable is None:
        if make:
            logger.warning("nothing is quantized by this load, so there is nothing to keep")
        return None
    if not make:
        folders.sweep(shelf.shelf())
        return keepable.found()
    try:
        return (yield from keepable.keep())
    except (BusyError, ResourceError) as error:
        logger.warning("%s", error)
        return None
