"""``python -m finetune compare``: held-out rows, asked before and after.

Knows: what is told of each row and of all together. Does not know: how a row is asked
(:mod:`finetune.lora.asking`), training.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from finetune.flags import Commands, say
from finetune.lora.data.rows import Row, read_rows
from finetune.lora.merge import base_name
from finetune.lora.options import TrainingError
from omni.engine import Engine
from omni.errors import OmniError
from omni.settings import QUANTIZATIONS, EngineSettings

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Answered:
    """One row, before and after."""

    row: str
    wanted: str
    before: str
    after: str
    right_before: bool
    right_after: bool
    # Of spoken rows: the voice that is nearest, by the name of its file; None: nothing was heard
    voice_before: str | None = None
    voice_after: str | None = None


@dataclass(frozen=True)
class Compared:
    """All rows."""

    rows: tuple[Answered, ...]
    voice: str | None = None  # the one that answers should have, where voices are compared

    def right(self, after: bool) -> int:
        """How many answers are right, word for word."""
        return sum(row.right_after if after else row.right_before for row in self.rows)

    def spoken(self) -> int:
        """How many rows were to be spoken in the voice."""
        return sum(row.voice_before is not None or row.voice_after is not None for row in self.rows)

    def in_voice(self, after: bool) -> int:
        """How many answers are nearest to the voice."""
        return sum((row.voice_after if after else row.voice_before) == self.voice for row in self.rows)


def compare(
    rows: Sequence[Row],
    before: EngineSettings,
    after: EngineSettings,
    voices: Sequence[Path] = (),
    tell: Tell = lambda line: None,
) -> Compared:
    """Ask one model, then the other.

    Args:
        voices: recordings, one a voice; the first is the one that answers should have.

    Raises:
        OmniError: a model or a file cannot be used.
    """
    from finetune.lora.asking import print_of, wanted

    asked = [wanted(row) for row in rows]
    known = [print_of([path]) for path in voices]
    names = [path.stem for path in voices]
    answers = []
    for settings, what in ((before, "before"), (after, "after")):
        answers.append(_asked(settings, asked, known, names, lambda n, w=what: tell(f"{w}: {n}")))
    found = [
        Answered(one.name, one.text, old[0], new[0], old[1], new[1], old[2], new[2])
        for one, old, new in zip(asked, *answers, strict=True)
    ]
    return Compared(tuple(found), names[0] if names else None)


def _asked(settings, asked, known, names, tell):  # type: ignore[no-untyped-def]
    from finetune.lora.asking import ask, heard_as

    engine = Engine(settings)
    found = []
    for number, one in enumerate(asked):
        answer = ask(engine, one, number)
        voice = heard_as(answer.wave, known) if one.speech and known else None
        found.append((answer.text, answer.right, None if voice is None else names[voice]))
    tell(f"{sum(right for _, right, _ in found)} of {len(found)} right")
    for _ in engine.unload():
        pass
    return found
