"""A reading with several voices: its lines one after another, as one sound.

Knows: the pause between two lines, what the lines' turns come to together. Does not know: how a
line is read.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import fields, replace
from typing import TypeAlias

import numpy as np

from omni.conversation import Message, Part, Text
from omni.events import (
    SPEECH_RATE,
    EngineEvent,
    FinishReason,
    MediaNote,
    SpeechChunk,
    TextDelta,
    TurnEnd,
    TurnStats,
)
from omni.options import READING
from omni.requests import ReadAloudRequest, ReadLine, ReadLinesRequest

PAUSE_S = 0.35  # of silence between two lines: people leave 0.2 to 0.5 s
SEEDS = 2**31  # a drawn seed is small enough to be read out and typed in again
_PAUSE = np.zeros(round(PAUSE_S * SPEECH_RATE), np.int16)
_OF_THE_FIRST = ("first_text_s", "first_sound_s", "waited_s", "seed")

Reader: TypeAlias = Callable[[ReadAloudRequest], Generator[EngineEvent, None, None]]


def read_lines(read: Reader, request: ReadLinesRequest) -> Generator[EngineEvent, None, None]:
    """The lines' events, a line's text before its sound; ends with one TurnEnd.

    Args:
        read: reads one line.
    """
    options = request.options or READING
    if options.seed is None:
        options = replace(options, seed=secrets.randbelow(SEEDS))
    ends: list[TurnEnd] = []
    parts: list[Part] = []
    for number, line in enumerate(request.lines):
        asked = ReadAloudRequest(
            line.text,
            line.voice,
            options,
            line.manner,
            stop=request.stop,
            started=time.perf_counter() if number else request.started,
        )
        shown = Text(_shown(line, last=number + 1 == len(request.lines)))
        if number:
            yield SpeechChunk(_PAUSE)
        yield TextDelta(shown.text)
        with closing(read(asked)) as events:
            ends += yield from _passed(events)
        parts += [shown, *ends[-1].message.parts]
        if ends[-1].reason == "stopped":
            break
    yield _together(ends, tuple(parts))


def _passed(events: Iterator[EngineEvent]) -> Generator[EngineEvent, None, list[TurnEnd]]:
    """All events but the end, which is returned."""
    ends = []
    for event in events:
        if isinstance(event, TurnEnd):
            ends.append(event)
        else:
            yield event
    return ends


def _shown(line: ReadLine, last: bool) -> str:
    """A line as it is written down: the voice's name before it, an empty line behind it."""
    label = f"{line.name}: " if line.name else ""
    return label + line.text + ("" if last else "\n\n")


def _together(ends: list[TurnEnd], parts: tuple[Part, ...]) -> TurnEnd:
    """The end of the whole: times and counts add up."""
    first = ends[0].stats
    summed = {
        field.name: sum(getattr(end.stats, field.name) for end in ends)
        for field in fields(TurnStats)
        if field.name not in _OF_THE_FIRST
    }
    summed["speech_s"] += PAUSE_S * (len(ends) - 1)
    stats = replace(first, **summed)
    reasons = {end.reason for end in ends}
    reason: FinishReason = next((one for one in _REASONS if one in reasons), "end")
    notes: list[MediaNote] = []
    for end in ends:
        notes += [note for note in end.media_notes if note not in notes]
    return TurnEnd(
        Message("assistant", parts, spoken=True), reason, stats, media_notes=tuple(notes)
    )


_REASONS: tuple[FinishReason, ...] = ("stopped", "limit")  # the first that is among them is told
