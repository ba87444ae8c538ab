"""How a checkpoint likes to answer, before it is loaded.

Knows: where its files lie, if they are on this disk. Does not know: sizes, torch.
"""

from __future__ import annotations

import sys
from pathlib import Path

from omni.errors import CheckpointError
from omni.loading.checkpoint import Checkpoint
from omni.loading.defaults import GenerationDefaults, Limits
from omni.loading.nano import NANO_FOLDER, UNTRAINED_LIMITS, WEIGHTS_FILE
from omni.options import GenerationOptions
from omni.settings import NANO, EngineSettings

AUTO = "auto"
NVIDIA = Path("/proc/driver/nvidia/version")  # where its driver is at work


def own_options(settings: EngineSettings) -> GenerationOptions:
    """What :attr:`omni.engine.Engine.default_options` will be once ``settings`` are loaded.

    The product's defaults where nothing else is known: a name of the Hub that is not on this disk
    (the published checkpoints say nothing, these are theirs), or no checkpoint at all.
    """
    defaults = _defaults(_chosen(settings))
    return defaults.limits.of(defaults.options)


def _chosen(settings: EngineSettings) -> str:
    """The name that ``settings`` stand for."""
    if settings.model != AUTO:
        return settings.model
    if "torch" not in sys.modules and not NVIDIA.exists() and sys.platform != "darwin":
        return NANO  # there is no GPU, and torch need not be imported to see that
    from omni import devices
    from omni.errors import ResourceError
    from omni.loading.placement import choose_model

    try:
        device = devices.choose_device(settings.device).name
    except ResourceError:  # whoever loads it is told
        return NANO
    return choose_model(settings.model, settings.quantization, device)


def _defaults(name: str) -> GenerationDefaults:
    if name == NANO and not (NANO_FOLDER / WEIGHTS_FILE).is_file():
        return GenerationDefaults(limits=Limits(**UNTRAINED_LIMITS), trained=False)
    folder = NANO_FOLDER if name == NANO else folder_of(name)
    try:
        return Checkpoint(folder, name).defaults if folder else GenerationDefaults()
    except CheckpointError:  # whoever loads it is told
        return GenerationDefaults()


def folder_of(name: str) -> Path | None:
    """The folder of a checkpoint that is on this disk, also in the Hub's cache; None: it is not.

    Of one in the cache there may be nothing but config.json.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    from omni.loading import hub

    if not hub.is_repository(name):
        return None
    return hub.cached(name)
