"""When nobody asks: nano is loaded before the first question, a model goes after the last one.

Knows: the engine's public face, a clock. Does not know: the page, how loading works.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from omni.engine import Engine
from omni.errors import OmniError
from omni.settings import NANO, EngineSettings

log = logging.getLogger(__name__)
MINUTE_S = 60.0
LEAST_PAUSE_S = 0.5  # between two looks; one that comes too late by so much harms nobody


def in_background(work: Callable[[], None], name: str) -> threading.Thread:
    """``work`` in a thread of its own, which does not keep the program alive."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


def load_ahead(engine: Engine, settings: EngineSettings) -> None:
    """Load what the first question would load, if that is nano; anything larger is asked for."""
    try:
        if stands_for_nano(settings):
            for _ in engine.load():
                pass
    except OmniError as error:  # the first turn tries again, and says so to a person
        log.warning("the model was not loaded ahead: %s", error)


def stands_for_nano(settings: EngineSettings) -> bool:
    """Whether these settings load nano here; imports torch where that depends on the device."""
    if settings.model != "auto":
        return settings.model == NANO
    from omni import devices
    from omni.loading.placement import choose_model

    device = devices.choose_device(settings.device)
    return choose_model(settings.model, settings.quantization, device.name) == NANO


class Unloading:
    """Unloads a model that nobody has asked for some time."""

    def __init__(
        self,
        engine: Engine,
        after_s: float,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Args:
        after_s: seconds without a request, a load or anybody who waits.
        pause: waits so many seconds; for tests.
        """
        self._engine = engine
        self._after_s = after_s
        self._pause = pause

    def watch(self) -> None:
        """For ever."""
        while True:
            self._pause(max(self.look(), LEAST_PAUSE_S))

    def look(self) -> float:
        """Unload if it is time; seconds until the next look."""
        left = self._after_s - self._engine.idle_s
        if left > 0:
            return left
        if self._engine.report is not None:
            log.info("unloading the model: nobody asked for %.0f s", self._engine.idle_s)
            self._engine.unload()
        return self._after_s
