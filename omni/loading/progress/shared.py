"""A load that everybody shares: who comes next may go on with what somebody has begun.

Knows: its steps, what they told last, whether it was cancelled. Does not know: who waits for it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from omni.errors import CancelledError
from omni.events import Progress
from omni.settings import EngineSettings


@dataclass(eq=False)
class SharedLoad:
    """A load under way."""

    settings: EngineSettings
    steps: Generator[Progress, None, None]
    told: Progress | None = None  # the last
    cancelled: bool = False  # by somebody who may, for everybody
    took_room: bool = False  # what was loaded before is gone, memory was taken


def load_cancelled() -> CancelledError:
    """The sentence for those who waited."""
    return CancelledError(
        "load-cancelled",
        "Loading the model was cancelled. Send your message again, or press Load, to begin anew.",
    )
