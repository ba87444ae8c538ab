"""When an answer counts as right.

Knows: what a style must change. Does not know: models, who asks; texts
(:mod:`finetune.measures.texts`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from finetune.measures.likeness import duration, is_heard, pitch
from omni.prompting.styles import StyleName

MEASURED_STYLES: tuple[StyleName, ...] = ("slow", "fast", "high", "low")
DURATION_CHANGE = 0.25  # of the plain duration
PITCH_CHANGE = 0.15  # of the plain pitch


@dataclass(frozen=True)
class Score:
    """How many of how many were right."""

    right: int
    total: int

    @property
    def percent(self) -> float:
        """The share of right ones."""
        return 100 * self.right / max(1, self.total)

    def __str__(self) -> str:
        return f"{self.right} of {self.total}"


def score(verdicts: Iterable[bool]) -> Score:
    """Verdicts counted."""
    known = list(verdicts)
    return Score(sum(known), len(known))


def style_change(style: StyleName, styled: np.ndarray, plain: np.ndarray) -> float:
    """What the style is to change, duration or pitch, over that of the plain reading.

    Args:
        styled, plain: float32 (samples,) at 24 kHz.

    Raises:
        ValueError: the style is none of :data:`MEASURED_STYLES`.
    """
    if style not in MEASURED_STYLES:
        raise ValueError(f"nothing is measured for the style {style}")
    measured = duration if style in ("slow", "fast") else pitch
    return measured(styled) / measured(plain)


def style_met(style: StyleName, styled: np.ndarray, plain: np.ndarray) -> bool:
    """Whether a reading differs from the plain one as the style asks; silence never does.

    Args and errors as of :func:`style_change`.
    """
    if not (is_heard(styled) and is_heard(plain)):
        return False
    change = style_change(style, styled, plain)
    wanted = DURATION_CHANGE if style in ("slow", "fast") else PITCH_CHANGE
    return change >= 1 + wanted if style in ("slow", "high") else change <= 1 - wanted
