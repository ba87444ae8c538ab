"""What a checkpoint will take, in each number of bits, and whether that fits.

Knows: sizes on this disk or of the published model, what is free. Does not know: how loading is
done, the page. The estimate is the one that loading goes by (:mod:`omni.loading.placement`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from omni import devices
from omni.config import OmniConfig
from omni.errors import CheckpointError, OmniError, ResourceError
from omni.loading import hub
from omni.loading.adapters.files import WEIGHTS_FILE as ADAPTER_FILE
from omni.loading.checkpoint import Checkpoint
from omni.loading.kept.checkpoint import bits_to_run, open_checkpoint
from omni.loading.memory import PUBLISHED_VOCODER_BYTES
from omni.loading.nano import NANO_FOLDER, WEIGHTS_FILE
from omni.loading.outlook.options import folder_of
from omni.loading.placement import (
    Measures,
    candidates,
    choose_model,
    fitting,
    free_bytes,
    measured,
    published,
)
from omni.loading.quantization import BITS, Quantization, check_available
from omni.settings import NANO, PUBLISHED_BASE, PUBLISHED_MODEL, EngineSettings

PUBLISHED = (PUBLISHED_MODEL, PUBLISHED_BASE)
FILE_BYTES = 2  # of a published value: bfloat16


@dataclass(frozen=True)
class Fit:
    """A checkpoint in a number of bits."""

    bits: Quantization
    need: int = 0  # bytes that the device holds at most; of several plans the one that fits best
    fits: bool = False
    refused: OmniError | None = None  # why it does not run in so many bits here, whatever is free


@dataclass(frozen=True)
class Outlook:
    """What a load will take."""

    model: str  # nano, a folder, a name on the Hub; for auto what that stands for here
    device: str = ""  # cpu, mps, cuda or cuda:N
    free: int = 0  # bytes, once what is loaded has made room
    fetch: int | None = None  # bytes that are not on this disk yet; None: nobody knows before
    fits: tuple[Fit, ...] = ()  # for each number of bits; none: the sizes are not known before
    problem: OmniError | None = None  # why there is nothing to load under this name

    @property
    def best(self) -> Fit | None:
        """The first that fits: with most bits."""
        return next((fit for fit in self.fits if fit.fits), None)


@dataclass(frozen=True, eq=False)
class _Known:
    """A checkpoint by its sizes."""

    measures: Measures
    fetch: int  # bytes
    checkpoint: Checkpoint | None = None  # where it is on this disk


def outlook(settings: EngineSettings, freed: int = 0) -> Outlook:
    """What loading ``settings`` will take, for every number of bits.

    Args:
        freed: bytes that what is loaded now will give back before.
    """
    model = settings.model
    try:
        device = devices.choose_device(settings.device).name
        devices.check_dtype(settings.dtype)
        model = choose_model(model, settings.quantization, device)
        known = _known(model, _adapter_bytes(settings.adapters))
    except OmniError as error:
        return Outlook(model, problem=error)
    free = free_bytes(device)
    free = {name: size + freed // len(free) for name, size in free.items()}
    total = sum(free.values())
    if known is None:
        return Outlook(model, device, total)
    fits = tuple(_fit(known, bits, settings, device, free) for bits in BITS)
    return Outlook(model, device, total, known.fetch, fits)


def _fit(
    known: _Known, bits: Quantization, settings: EngineSettings, device: str, free: dict[str, int]
) -> Fit:
    measures, offload = known.measures, settings.offload
    try:
        check_available(bits, device)
        if known.checkpoint is not None:
            bits_to_run(known.checkpoint, bits, device)
    except OmniError as error:
        return Fit(bits, refused=error)
    size = devices.choose_dtype(device, measures.parameters, settings.dtype).dtype.itemsize
    try:
        placed = fitting(measures, device, size, free, bits, offload)
    except ResourceError:
        needs = (measures.need(plan, size).device for plan in candidates(bits, device, offload))
        return Fit(bits, min(needs))
    return Fit(bits, placed.need, fits=True)


def _known(model: str, beside: int) -> _Known | None:
    """None: it is on the Hub, and nothing of it on this disk tells how large it is.

    Raises:
        CheckpointError: it is no checkpoint.
    """
    if model == NANO:
        if not (NANO_FOLDER / WEIGHTS_FILE).is_file():  # it is drawn when it is loaded
            return _Known(measured(OmniConfig.from_pretrained(NANO_FOLDER), beside), 0)
        return _on_disk(NANO_FOLDER, model, beside)
    folder = folder_of(model)
    if folder is not None:
        try:
            return _on_disk(folder, model, beside)
        except CheckpointError:
            if not hub.is_repository(model) or Path(model).expanduser().exists():
                raise  # of one in the cache not everything is there yet
    repository, _ = hub.parted(model)
    if repository in PUBLISHED:
        sizes = published()
        whole = FILE_BYTES * sizes.parameters
        there = sum(file.stat().st_size for file in folder.glob("*.safetensors")) if folder else 0
        measures = Measures(sizes.shapes, sizes.config, sizes.layers, sizes.beside + beside)
        return _Known(measures, max(whole - there, 0) + _vocoder_to_fetch())
    if hub.is_repository(model):
        return None
    raise CheckpointError(
        "checkpoint-missing",
        "{path} is not a folder: give a checkpoint's folder, the name of one on the "
        "Hugging Face Hub, or nano.",
        path=model,
    )


def _on_disk(folder: Path, model: str, beside: int) -> _Known:
    checkpoint = open_checkpoint(folder, model)
    config = checkpoint.config
    shapes = {name: info.shape for name, info in checkpoint.tensors.items()}
    vocoder = checkpoint.vocoder()
    size = vocoder.stat().st_size if vocoder else PUBLISHED_VOCODER_BYTES
    layers = config.get("num_hidden_layers", 0)
    measures = Measures(shapes, config, layers if isinstance(layers, int) else 0, size + beside)
    return _Known(measures, 0 if vocoder else _vocoder_to_fetch(), checkpoint)


def _vocoder_to_fetch() -> int:
    there = hub.cached(hub.VOCODER_REPOSITORY, hub.VOCODER_FILE)
    return 0 if there else PUBLISHED_VOCODER_BYTES


def _adapter_bytes(names: Iterable[str]) -> int:
    """Of the adapters that are on this disk; the others are small beside a model."""
    size = 0
    for name in names:
        folder = Path(name).expanduser() if Path(name).expanduser().is_dir() else None
        folder = folder or (hub.cached(name, ADAPTER_FILE) if hub.is_repository(name) else None)
        files = folder.rglob(ADAPTER_FILE) if folder else ()
        size += max((file.stat().st_size for file in files), default=0)
    return size
