"""How sensitive Talk is: the choices in plain words, and the thresholds behind them.

Knows: which thresholds a person may change, within which bounds. Does not know: how they are used
(omni.listening), how the page shows them (assets/scripts/live/settings.js).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from omni.listening.settings import ListeningSettings


@dataclass(frozen=True)
class Threshold:
    """One slider behind "More"."""

    field: str  # of ListeningSettings
    words: str  # the key of its label
    least: float
    most: float
    step: float

    @property
    def usual(self) -> float:
        """Where it stands by itself."""
        return float(getattr(ListeningSettings(), self.field))


THRESHOLDS = (
    Threshold("end_s", "live-end", 0.3, 2.0, 0.05),
    Threshold("begin_probability", "live-begin-probability", 0.2, 0.95, 0.05),
    Threshold("begin_s", "live-begin", 0.06, 0.6, 0.01),
    Threshold("barge_probability", "live-barge", 0.3, 0.95, 0.05),
)

# Each named by what a person knows of the place and of themselves (the word is talk-room-<name>),
# with what differs from the usual.
ROOMS: Mapping[str, Mapping[str, float]] = {
    "quiet": {"begin_probability": 0.4, "begin_s": 0.1, "barge_probability": 0.6},
    "usual": {},
    "noisy": {"begin_probability": 0.7, "begin_s": 0.2, "barge_probability": 0.9},
    "patient": {"end_s": 1.4},
}


def settings_of(values: Mapping[Threshold, float | None]) -> ListeningSettings:
    """The sliders' values as settings; one that was emptied keeps its default."""
    given = {
        threshold.field: min(max(float(value), threshold.least), threshold.most)
        for threshold, value in values.items()
        if value is not None
    }
    settings = replace(ListeningSettings(), **given)
    begin = min(settings.begin_probability, settings.barge_probability)
    return replace(settings, keep_probability=min(settings.keep_probability, 0.7 * begin))


def settings_named(values: Mapping[str, Any]) -> ListeningSettings:
    """Settings from the thresholds' names, as the page sends them.

    Raises:
        ValueError, TypeError: a value is no number.
    """
    given = {one: float(values[one.field]) for one in THRESHOLDS if one.field in values}
    if any(value != value for value in given.values()):
        raise ValueError("not a number")
    return settings_of(given)


def for_page() -> str:
    """Thresholds and rooms for the page, as JSON; what each room means is complete."""
    usual = {one.field: one.usual for one in THRESHOLDS}
    return json.dumps(
        {
            "thresholds": [
                {
                    "field": one.field,
                    "words": one.words,
                    "least": one.least,
                    "most": one.most,
                    "step": one.step,
                }
                for one in THRESHOLDS
            ],
            "rooms": {name: usual | dict(changed) for name, changed in ROOMS.items()},
        }
    )
