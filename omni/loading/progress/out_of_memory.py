"""Memory that ran out in the middle of some work, as a sentence, with the memory given back.

Knows: what such errors look like, what holds on to tensors. Does not know: what the work is.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Generator, Iterator
from typing import TypeVar

from omni.errors import OmniError
from omni.events import EngineEvent

logger = logging.getLogger(__name__)
Event = TypeVar("Event", bound=EngineEvent)


def translated(work: Iterator[Event], device: str) -> Generator[Event, None, None]:
    """``work``'s events; memory that ran out becomes a ResourceError and is freed.

    Closing this generator closes ``work`` too.
    """
    try:
        yield from work
    except (OmniError, GeneratorExit):
        raise
    except BaseException as error:
        from omni import devices

        if not devices.is_out_of_memory(error):
            raise
        if device == "auto":
            device = devices.choose_device().name
        logger.exception("memory ran out on %s", device)
        # The failed step's tensors live on in the frames that the traceback holds.
        traceback.clear_frames(error.__traceback__)
        devices.release()
        raise devices.out_of_memory(device) from error
