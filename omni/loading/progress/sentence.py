"""What a person reads of long work: "Reading weights: 4.2 of 22.1 GB, about 40 s left".

Knows: which words and numbers belong to a progress, and the words in English. Does not know: other
languages (the page gives its own words under the same keys), where it is shown.
"""

from __future__ import annotations

import math
from typing import Protocol

from omni.events import Progress

ENGLISH = {
    "progress-wait": "{ahead} ahead of you in the queue …",
    "progress-wait-s": "{ahead} before you, about {seconds} s …",
    "progress-check": "Checking the model",
    "progress-download": "Downloading the model",
    "progress-keep": "Quantizing and writing weights",
    "progress-read": "Reading weights",
    "progress-quantize": "Reading and quantizing weights",
    "progress-warm": "Warming up",
    "progress-encode": "Listening and looking",
    "progress-plain": "{what} …",
    "progress-bytes": "{what}: {done} of {total} {unit}",
    "progress-share": "{what}: {percent} %",
    "progress-left-s": "{so_far}, about {left} s left",
    "progress-left-min": "{so_far}, about {left} min left",
    "progress-left-h": "{so_far}, about {left} h left",
}
SECONDS_UNTIL = 90  # above it, minutes are said
MINUTES_UNTIL = 90
STEP_S = 5  # above ten seconds they are said in steps: more would be untrue


class Say(Protocol):
    """A sentence by its key."""

    def __call__(self, key: str, **values: object) -> str:
        """The sentence with ``values`` in it."""
        ...


def english(key: str, **values: object) -> str:
    """The sentences of the command line and the log."""
    return ENGLISH[key].format(**values)


def sentence(progress: Progress, say: Say = english) -> str:
    """What is under way, how much of it is done, and how long it will take, as far as is known."""
    key = f"progress-{progress.stage}"
    if progress.stage == "wait":
        ahead = int(progress.total)
        if progress.left_s is None:
            return say(key, ahead=ahead)
        return say(f"{key}-s", ahead=ahead, seconds=max(math.ceil(progress.left_s), 1))
    what = say(key)
    # Of checks and media there are few, and they are of all sizes: a share would say nothing.
    if not progress.total or progress.stage in ("check", "encode"):
        return say("progress-plain", what=what)
    if progress.unit == "bytes":
        unit, size = ("GB", 1e9) if progress.total >= 1e9 else ("MB", 1e6)
        digits = 1 if size == 1e9 else 0
        done, total = (f"{n / size:.{digits}f}" for n in (progress.done, progress.total))
        so_far = say("progress-bytes", what=what, done=done, total=total, unit=unit)
    else:
        percent = f"{100 * min(progress.done / progress.total, 1):.0f}"
        so_far = say("progress-share", what=what, percent=percent)
    if progress.left_s is None or progress.done >= progress.total:
        return so_far
    return _with_time(so_far, progress.left_s, say)


def _with_time(so_far: str, seconds: float, say: Say) -> str:
    if seconds <= 2 * STEP_S:
        return say("progress-left-s", so_far=so_far, left=max(math.ceil(seconds), 1))
    if seconds <= SECONDS_UNTIL:
        return say("progress-left-s", so_far=so_far, left=STEP_S * round(seconds / STEP_S))
    minutes = seconds / 60
    if minutes <= MINUTES_UNTIL:
        return say("progress-left-min", so_far=so_far, left=max(round(minutes), 2))
    return say("progress-left-h", so_far=so_far, left=max(round(minutes / 60), 2))
