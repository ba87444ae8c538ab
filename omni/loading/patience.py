"""What a person waits for on a CPU: pictures of a size that is read in half a minute.

Knows: when speed is measured, what goes before it. Does not know: how (:mod:`omni.model.pace`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from omni import devices
from omni.generation.between_layers import each_layer, layers_of
from omni.loading.load import LoadedModel
from omni.model import pace
from omni.settings import EngineSettings


def patient(
    loaded: LoadedModel, settings: EngineSettings, waiting: Callable[[], None] = lambda: None
) -> LoadedModel:
    """``loaded`` with pictures of a size that is read in a time that a person waits.

    On a CPU the size follows from the speed that is measured here, for all but small models; what
    ``settings`` say goes before it. ``waiting`` is called before each layer meanwhile.
    """
    report, pixels = loaded.report, settings.max_pixels
    slow = report.device == "cpu" and 4 * report.parameters > devices.SMALL_MODEL_BYTES
    if slow:
        with each_layer(layers_of(loaded.model), lambda layer, rows: waiting()):
            measured = pace.measure(loaded.model, waiting)
        report = replace(report, speech_s=measured.speech_s)
        pixels = pixels or pace.most_pixels(loaded.config, measured)
    config = loaded.config if pixels is None else pace.within(loaded.config, pixels)
    report = replace(report, max_pixels=config.visual.max_pixels)
    return replace(loaded, config=config, report=report)
