"""Ways of speaking that can be asked for.

Knows: the styles, what they change. Their wording is the one that the web UI asks with.
Does not know: how speech is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from finetune.nano.domain.languages import Language
from omni.prompting.styles import STYLES as WORDINGS
from omni.prompting.styles import StyleName as Asked

StyleName: TypeAlias = Asked | Literal["plain"]


@dataclass(frozen=True)
class Style:
    """What a style changes, and its wording.

    ``systems`` stand in a system prompt; ``requests`` stand before a text that is to be said;
    ``again`` asks for the last answer once more.
    """

    name: StyleName
    tempo: float = 1.0  # times the speaking rate
    pitch: int = 0  # steps of espeak's pitch, 0 to 99
    gain_db: float = 0.0
    systems: Mapping[Language, tuple[str, ...]] | None = None
    requests: Mapping[Language, tuple[str, ...]] | None = None
    again: Mapping[Language, tuple[str, ...]] | None = None


def _style(name: Asked, tempo: float = 1, pitch: int = 0, gain: float = 0) -> Style:
    wording = WORDINGS[name]
    return Style(name, tempo, pitch, gain, wording.systems, wording.requests, wording.again)


STYLES: Mapping[StyleName, Style] = {
    style.name: style
    for style in (
        Style("plain"),
        _style("slow", tempo=0.64),
        _style("fast", tempo=1.6),
        _style("high", pitch=32),
        _style("low", pitch=-32),
        _style("soft", gain=-12),
        _style("loud", gain=6),
    )
}
ASKED_STYLES: tuple[StyleName, ...] = tuple(name for name in STYLES if name != "plain")
