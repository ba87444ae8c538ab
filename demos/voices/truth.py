"""What the loaded checkpoint really does with what the page offers.

Knows: assets/what_works.yaml, how a label says that a choice does nothing. Does not know: how that
was found out (python -m benchmarks.what_works, and the publishers' own words).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import yaml

from demos.base.languages import Words
from demos.base.word_files import PageLanguage
from omni.settings import NANO
from omni.shipped import ASSETS

if TYPE_CHECKING:
    from omni.engine import Engine

TABLE = ASSETS / "what_works.yaml"
# What the table is about: quick tasks by <tab>-<key>, roles by id, emotions and styles by name,
# ways of using a recording by name.
Kind: TypeAlias = Literal["chips", "roles", "emotions", "styles", "uses"]


@dataclass(frozen=True)
class Truth:
    """What one kind of checkpoint does; of what is not named nothing is known, nothing is said."""

    name: str = ""  # of the checkpoint, for people
    fails: Mapping[str, frozenset[str]] = field(default_factory=dict)  # by Kind: what does nothing

    def works(self, kind: Kind, name: str) -> bool:
        """Whether nothing is known against it."""
        return name not in self.fails.get(kind, frozenset())

    def marked(
        self, words: Words, language: PageLanguage, kind: Kind, name: str, label: str
    ) -> str:
        """``label``, with a remark where the checkpoint does not do it."""
        if self.works(kind, name):
            return label
        return words.say(language, "not-with", label=label, model=self.name)


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """The file: by kind of checkpoint what was found and how."""
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))


def truth_of(engine: Engine) -> Truth:
    """Of the checkpoint that is loaded, or that was asked for by name."""
    report = engine.report
    checkpoint = report.checkpoint if report else engine.settings.model
    if checkpoint != NANO or (report is not None and not report.trained):
        return Truth()  # the published one: its makers promise little, and nothing was refuted
    found = table()[NANO]
    fails = {
        kind: frozenset(name for name, entry in found[kind].items() if not entry["works"])
        for kind in ("chips", "roles", "emotions", "styles", "uses")
    }
    return Truth(NANO, fails)
