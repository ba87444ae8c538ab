"""Live: turn detection errors over synthesized conversations, and how soon an answer is heard.

Usage: python -m benchmarks.live [--model nano] [--conversations 75] [--turns 6] [--json FILE]

``detector``: conversations in silence and noise (espeak-ng), each of four turns of one to three
phrases with pauses of 0.15 to 0.5 s, and for ``hesitating`` of up to 1.2 s. Beside a share stands
what it is at most, with 95 % confidence (Clopper and Pearson): 0 of 300 turns are at most 1 %.
``latency``: a live session gets sound at the pace at which it is spoken; times run from the end of
the voice to the first sound sent to the page, whose playback begins with the first 0.12 s of sound
that are there and adds what the devices take (docs/live.md).
"""

from __future__ import annotations

import argparse
import math
import shlex
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.lib.machine import about_machine, sentence
from benchmarks.lib.rows import Bound, Row, table, write_json
from benchmarks.speed.conversations import RATE, say, silence
from benchmarks.speed.turn_errors import error_rows
from demos.base.languages import Words
from demos.live import wire
from demos.live.answers import Setup
from demos.live.session import Live
from demos.turns.chat import Thread
from demos.turns.sessions import Sessions
from demos.turns.turn import unchanged
from omni.conversation import SystemPrompt
from omni.engine import Engine, EngineSettings
from omni.loading.nano import untrained_folder

QUESTIONS = (  # text, voice
    ("How many cats are there in the picture", "en-us+m1"),
    ("Tell me a story", "en-gb+f3"),
    ("请告诉我这张图片里有什么", "cmn-latn-pinyin+f3"),
    ("What do you see", "en-us+f2"),
)
BARGE_INS = 3
PIECE = 512  # samples of a message of the page
PATIENCE_S = 60.0
FIRST_SOUND = Bound(1.2, at_most=True)  # s, with nano on two free CPU cores
SILENT = Bound(0.3, at_most=True)  # s


class Page:
    """What a browser does: it speaks at the pace of time, and plays what it gets."""

    def __init__(self, engine: Engine, sessions: Sessions) -> None:
        setup = Setup(Thread(), SystemPrompt(), "en", "en", unchanged)
        self.live = Live(engine, sessions.get("benchmark"), setup, Words())
        self.first: dict[int, float] = {}  # when an answer's first sound came
        self.sent: dict[int, int] = {}
        self.flush: list[float] = []
        self._next = 0.0
        self.live.start(self._receive)
        self.wait(lambda: self.live.state == "listening")

    def hear(self, sound: np.ndarray) -> None:
        """Send float32 (samples,) at RATE at its own pace."""
        samples = (sound * 32767).astype(np.int16)
        self._next = max(self._next, time.monotonic())
        for start in range(0, len(samples), PIECE):
            piece = samples[start : start + PIECE]
            self._next += len(piece) / RATE
            time.sleep(max(0.0, self._next - time.monotonic()))
            self.live.take(wire.Sound(piece))
            self._play()

    def wait(self, condition) -> None:  # type: ignore[no-untyped-def]
        """Stay silent until something is true."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing came while Live was {self.live.state}")
            self.hear(silence(0.1))

    def close(self) -> None:
        """The person presses Stop."""
        self.live.end("stopped")
        self.wait(lambda: self.live.over is not None)

    def _receive(self, message: wire.Down) -> None:
        now = time.monotonic()
        if isinstance(message, bytes):
            number = int.from_bytes(message[:4], "little")
            self.first.setdefault(number, now)
            self.sent[number] = self.sent.get(number, 0) + (len(message) - 4) // 2
        elif message["type"] == "flush":
            self.flush.append(now)
            played = self._played(message["answer"], now)
            self.live.take(wire.PlaybackReport(message["answer"], played, True))

    def _play(self) -> None:
        for number in list(self.first)[-1:]:
            played = self._played(number, time.monotonic())
            self.live.take(wire.PlaybackReport(number, played, False))

    def _played(self, number: int, now: float) -> int:
        if number not in self.first:
            return 0
        return min(self.sent[number], round((now - self.first[number]) * 24_000))


def latency_rows(model: str, turns: int) -> Iterator[Row]:
    """From the end of the voice to the first sound, and from a voice to silence."""
    questions = [say(*question) for question in QUESTIONS]
    with tempfile.TemporaryDirectory() as folder:
        sessions = Sessions(Path(folder) / "sessions")
        page = Page(Engine(EngineSettings(model=model)), sessions)
        for turn in range(turns + 1):
            count = len(page.live.latencies)
            question = questions[turn % len(questions)]
            page.hear(np.concatenate([silence(0.5), question, silence(0.8)]))
            page.wait(lambda: len(page.live.latencies) > count)  # noqa: B023
            page.wait(lambda: page.live.state == "listening")
        page.close()
        # Untrained weights know no end: they always still speak when they are interrupted.
        untrained = Page(
            Engine(EngineSettings(model=str(untrained_folder(Path(folder))))), sessions
        )
        stops = [barge_in_s(untrained, questions[0]) for _ in range(BARGE_INS)]
        untrained.close()
        sessions.close()
    first, *others = page.live.latencies[: turns + 1]
    middle = sorted(others, key=lambda latency: latency.total_s)[len(others) // 2]
    yield Row("hold_s", middle.hold_s, None, "from the end of the voice until it is an end")
    yield Row("begun_s", middle.begun_s, None, "the answer, from the end of the voice")
    yield Row("read_s", middle.read_s, None, "the question, up to the first text")
    yield Row("speak_s", middle.speak_s, None, "from the first text to the first sound")
    yield Row("answer_ready_s", middle.ready_s, None, "all three; the hold ends later or not")
    yield Row("wait_s", middle.wait_s, None, "from the end of the hold to the first sound")
    worst = max(latency.total_s for latency in others)
    note = f"median of {turns} turns, worst {worst:.2f}"
    yield Row("first_sound_s", middle.total_s, FIRST_SOUND, note)
    yield Row("first_turn_s", first.total_s, FIRST_SOUND, "the first of the session")
    silent = [stop for stop in stops if stop is not None]
    worst = max(silent, default=math.nan)
    note = f"untrained weights, median of {len(silent)} of {BARGE_INS}, worst {worst:.2f}"
    stopped = statistics.median(silent) if len(silent) == BARGE_INS else "not always"
    yield Row("silent_after_s", stopped, SILENT, f"voice into the answer to the stop, {note}")


def barge_in_s(page: Page, question: np.ndarray) -> float | None:
    """Seconds from the begin of a voice into an answer to the message that silences it."""
    count = len(page.live.latencies)
    page.hear(np.concatenate([silence(0.5), question, silence(0.8)]))
    page.wait(lambda: len(page.live.latencies) > count)
    page.hear(silence(0.3))
    begun = time.monotonic()
    page.hear(question)
    stopped = page.flush[-1] - begun if page.flush and page.flush[-1] > begun else None
    page.hear(silence(1.0))
    if stopped is not None:  # what was said into the answer is answered too
        page.wait(lambda: len(page.live.latencies) > count + 1)
    page.wait(lambda: page.live.state == "listening")
    return stopped


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--conversations", type=int, default=75, help="of each kind")
    parser.add_argument("--turns", type=int, default=6, help="whose latency is measured")
    parser.add_argument("--only", choices=("detector", "latency"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    flags = parser.parse_args(arguments)
    about = about_machine()
    rows: list[Row] = []
    if flags.only != "latency":
        rows += error_rows(flags.conversations)
    if flags.only != "detector":
        rows += latency_rows(flags.model, flags.turns)
    given = sys.argv[1:] if arguments is None else arguments
    command = shlex.join(["python", "-m", "benchmarks.live", *given])
    print(f"{sentence(about)}\n{command}\n\n{table(rows)}")
    if flags.json:
        write_json(flags.json, rows, machine=about, command=command)
    left = [thread for thread in threading.enumerate() if thread.name.startswith("omni-live")]
    assert not left, left
    return 1 if any(row.ok is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
