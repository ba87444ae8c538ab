"""Many people for a while: does everybody get their own answer, and does nothing pile up?

Usage: python -m benchmarks.load.soak [--turns 200] [--clients 8] [--json FILE]

Starts the app with nano. Each question is asked alone first, then all of them over and over by
several clients at once, in another order for each. An answer is right if it is what the same
question with the same seed got alone, text and sound. After half of the turns, and in the end,
everybody leaves, and what the process holds is looked at once the sessions are forgotten (a minute
or two). Flat means: the second half of the turns adds next to nothing to what it held after the
first.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Bound, Row
from benchmarks.load.running import MEGABYTE, ROOT, App, Held, Visitor, running

FORGOTTEN_S = 150.0  # the grace of a minute, and the sweeper's own pace
MORE_MEMORY = 150.0  # MB, above what it held after questions one at a time: what allocators keep
MORE_BY_HALF = 60.0  # MB, from the first half of the turns to the second
FEW = 8  # threads or descriptors that come and go
EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Question:
    """What is asked. ``files``: examples by their parameter."""

    name: str  # of the endpoint
    values: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)

    def ask(self, visitor: Visitor) -> str:
        """The answer, in a new conversation: its text and the sum of its sound."""
        visitor.call("new_conversation")
        given: dict[str, Any] = {
            key: visitor.upload(EXAMPLES / name) for key, name in self.files.items()
        }
        if "images" in given:
            given["images"] = [given["images"]]
        answer = visitor.call(self.name, **self.values, **given)
        if answer.error is not None:
            return f"error: {answer.error}"
        return " | ".join(_told(visitor, value) for value in answer.data[:2])


def questions() -> list[Question]:
    """All kinds of turns, with different right answers."""
    found = []
    texts = ("Hello!", "Who are you?", "What is two plus three?", "What is the capital of France?")
    for seed, text in enumerate(texts):
        found.append(Question("chat", {"text": text, "speech": False, "seed": seed}))
        found.append(Question("chat", {"text": text, "speech": True, "seed": seed}))
        found.append(Question("read_aloud", {"text": text, "seed": seed}))
    for name in ("asked", "capital", "changes", "sentence"):
        found.append(Question("transcribe", {}, {"audio": f"{name}_en.flac"}))
    for name in ("shapes", "places", "number", "stars"):
        seen = {"text": "What do you see?", "speech": False, "seed": 1}
        found.append(Question("chat", seen, {"images": f"{name}.png"}))
    for name in ("appears", "moves", "vanishes"):
        seen = {"text": "What happens?", "speech": False, "seed": 1}
        found.append(Question("chat", seen, {"video": f"{name}.mp4"}))
    return found


def _told(visitor: Visitor, value: Any) -> str:
    """A value of an answer; a file by the sum of its bytes."""
    if isinstance(value, dict) and "url" in value:
        content = visitor.http.get(value["url"]).content
        return hashlib.sha256(content).hexdigest()[:12]
    return "" if isinstance(value, dict) or value is None else str(value)


@dataclass
class Soak:
    """Clients at work."""

    app: App
    turns: int
    clients: int
    wrong: list[str] = field(default_factory=list)
    done: int = 0
    slowest_s: float = 0.0

    def alone(self) -> list[tuple[Question, str]]:
        """Each question with its right answer."""
        with self.app.visitor() as visitor:
            return [(question, question.ask(visitor)) for question in questions()]

    def together(self, right: list[tuple[Question, str]]) -> None:
        """All clients at once, until the turns are done."""
        left = itertools.count()
        lock = threading.Lock()

        def work(number: int) -> None:
            order = random.Random(number).sample(right, len(right))
            with self.app.visitor() as visitor:
                for question, wanted in itertools.cycle(order):
                    if next(left) >= self.turns:
                        return
                    begun = time.perf_counter()
                    got = question.ask(visitor)
                    took_s = time.perf_counter() - begun
                    with lock:
                        self.done += 1
                        self.slowest_s = max(self.slowest_s, took_s)
                        if got != wanted:
                            self.wrong.append(f"{question.name} {question.values}: {got!r}")

        workers = [threading.Thread(target=work, args=(number,)) for number in range(self.clients)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def measure(turns: int, clients: int, app: App) -> list[Row]:
    """The soak's rows."""
    halves = [Soak(app, turns // 2, clients), Soak(app, turns - turns // 2, clients)]
    right = halves[0].alone()
    held, seconds = [app.settled(FORGOTTEN_S)], 0.0
    for soak in halves:
        begun = time.perf_counter()
        soak.together(right)
        seconds += time.perf_counter() - begun
        held.append(app.settled(FORGOTTEN_S))
    wrong = [answer for soak in halves for answer in soak.wrong]
    failed = [answer for _, answer in right if answer.startswith("error")]
    said = app.new_lines()
    none = Bound(0, at_most=True)
    rows = [
        Row("turns", sum(soak.done for soak in halves), Bound(turns)),
        Row("clients", clients),
        Row("kinds_of_questions", len(right)),
        Row("failed_alone", len(failed), none, "; ".join(failed)),
        Row("answers_other_than_alone", len(wrong), none, "; ".join(wrong[:3])),
        Row("lines_in_the_log", len(said.splitlines()), none, said[:200]),
        Row("seconds", round(seconds, 1)),
        Row("slowest_turn_s", round(max(soak.slowest_s for soak in halves), 1)),
    ]
    return [*rows, *_flat(*held)]


def _flat(alone: Held, half: Held, whole: Held) -> list[Row]:
    """What is held after questions one at a time, after half of the turns, and after all."""
    memory = [held.memory / MEGABYTE for held in (alone, half, whole)]
    grown, by_half = memory[2] - memory[0], memory[2] - memory[1]
    return [
        Row("memory_alone_mb", round(memory[0])),
        Row("memory_half_mb", round(memory[1])),
        Row("memory_after_mb", round(memory[2])),
        Row("memory_grown_mb", round(grown), Bound(MORE_MEMORY, at_most=True)),
        Row("memory_grown_in_second_half_mb", round(by_half), Bound(MORE_BY_HALF, at_most=True)),
        Row("threads_half", half.threads),
        Row("threads_after", whole.threads, Bound(half.threads + FEW, at_most=True)),
        Row("descriptors_alone", alone.files),
        Row("descriptors_after", whole.files, Bound(alone.files + FEW, at_most=True)),
        Row("files_of_visitors_after", whole.kept, Bound(0, at_most=True)),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; 1 where a bound is missed."""
    parser = flags_parser(__doc__)
    parser.add_argument("--turns", type=int, default=200, help="of all clients together")
    parser.add_argument("--clients", type=int, default=8, help="at once")
    flags = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as app:
        rows = measure(flags.turns, flags.clients, app)
    return report(rows, about_machine(), command_of("benchmarks.load.soak", arguments), flags.json)


if __name__ == "__main__":
    sys.exit(main())
