"""Whether writing down what was heard makes the next answer later.

    python -m benchmarks.speed.heard_after --rounds 8

A spoken question is asked twice in a row, at the worst moment: the second follows the first answer
at once, or 0.05 or 0.2 s later, when the first question is just being written down; by turns with
(`demos.turns.heard`) and without it.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Bound, Row
from demos.turns.heard import begin
from omni.conversation import Audio, Conversation, Message
from omni.engine import Engine
from omni.events import SpeechChunk
from omni.settings import EngineSettings
from omni.shipped import EXAMPLES

QUESTION = EXAMPLES / "capital_en.flac"
PAUSES_S = (0.0, 0.05, 0.2)  # from the end of an answer to the next question
LATER = Bound(0.05, at_most=True)  # s, that nobody notices


def first_sound_s(engine: Engine) -> float:
    """A turn with the recorded question; seconds to its first sound."""
    asked = Conversation(messages=(Message("user", (Audio(QUESTION),)),))
    begun, first = time.perf_counter(), 0.0
    for event in engine.turn(asked, session="one"):
        if isinstance(event, SpeechChunk) and not first:
            first = time.perf_counter() - begun
    return first


def measure(rounds: int) -> Iterator[Row]:
    """The rows: with it, without it, and the difference."""
    engine = Engine(EngineSettings("nano", device="cpu"))
    for _ in engine.load():
        pass
    first_sound_s(engine)
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(rounds):
        for pause in PAUSES_S:
            for writes in (number % 2 == 0, number % 2 == 1):
                first_sound_s(engine)
                written = begin(engine, QUESTION, lambda: False) if writes else None
                time.sleep(pause)
                times[writes].append(first_sound_s(engine))
                if written is not None:
                    written.result(60)
    middle = {writes: statistics.median(found) for writes, found in times.items()}
    for writes, name in ((True, "written_down_first_sound_s"), (False, "alone_first_sound_s")):
        found = times[writes]
        yield Row(name, middle[writes], note=f"median of {len(found)}, worst {max(found):.2f}")
    yield Row("later_s", middle[True] - middle[False], LATER)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 where the bound is missed."""
    parser = flags_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="of three pauses each")
    flags = parser.parse_args(arguments)
    about = about_machine()
    rows = list(measure(flags.rounds))
    return report(rows, about, command_of("benchmarks.speed.heard_after", arguments), flags.json)


if __name__ == "__main__":
    sys.exit(main())
