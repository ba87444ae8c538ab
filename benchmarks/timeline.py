"""The timeline of a turn as a picture: which work ran when, and when text and sound came.

    python -m benchmarks.timeline --config nano --random-weights --out timeline.svg
    python -m benchmarks.timeline --model nano --naive --out timeline.png

Takes the flags of benchmarks.latency. With --naive the published way is drawn below ours, on the
same axis. Needs matplotlib (requirements-train.txt).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import latency
from benchmarks.speed import turns
from benchmarks.speed.question import spoken, write_question
from benchmarks.speed.spans import KINDS, Kind, Recorder, Span
from benchmarks.speed.turns import Lengths, TurnTimes
from omni.assistant import Assistant
from omni.settings import EngineSettings

COLORS: dict[Kind, str] = {
    "encode": "#8c6bb1",
    "prefill": "#4292c6",
    "text": "#41ab5d",
    "audio": "#fe9929",
    "flow": "#ef3b2c",
    "vocoder": "#a50f15",
}
BAR = 0.8  # of a lane's height
Run = Callable[..., TurnTimes]  # of a model, a conversation and options


@dataclass(frozen=True)
class Timeline:
    """What is drawn of one turn."""

    title: str
    spans: list[Span]
    times: TurnTimes


def record(title: str, run: Run, *arguments: Any) -> Timeline:
    """Run a turn and note where its time goes."""
    with Recorder() as recorder:
        times = run(*arguments)
    return Timeline(title, recorder.spans, times)


def draw(timelines: Sequence[Timeline], path: Path) -> None:
    """Draw the turns below each other; the file's ending says how (png, svg, pdf)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    height = 0.4 + 2.6 * len(timelines)
    figure, axes = pyplot.subplots(
        len(timelines), 1, sharex=True, squeeze=False, figsize=(10, height), layout="constrained"
    )
    for axis, timeline in zip(axes[:, 0], timelines, strict=True):
        _draw_turn(axis, timeline)
    axes[-1, 0].set_xlabel("seconds from Send")
    figure.savefig(path)
    pyplot.close(figure)


def _draw_turn(axis: Any, timeline: Timeline) -> None:
    for lane, kind in enumerate(KINDS):
        bars = [(s.start, s.end - s.start) for s in timeline.spans if s.kind == kind]
        axis.broken_barh(bars, (lane - BAR / 2, BAR), color=COLORS[kind])
    marks = (("first text", timeline.times.first_text_s), ("sound", timeline.times.first_sound_s))
    for name, at in marks:
        if at is not None:
            axis.axvline(at, color="black", linewidth=1)
            axis.annotate(f"{name} {at:.2f} s", (at, len(KINDS) - 0.4), rotation=0, fontsize=8)
    axis.set_yticks(range(len(KINDS)), KINDS)
    axis.set_ylim(-0.6, len(KINDS) + 0.2)
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    axis.set_title(timeline.title, loc="left", fontsize=10)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a turn, or two, and draw."""
    parser = latency.parser(__doc__)
    parser.add_argument("--out", type=Path, default=Path("timeline.svg"), metavar="FILE")
    flags = latency.checked(parser, parser.parse_args(arguments))
    assistant = Assistant(latency.load(flags), EngineSettings(compile=flags.compile))
    loaded = assistant.loaded
    options = Lengths(flags.text_tokens, flags.frames, flags.segments).options(not flags.config)
    name = f"{flags.config or flags.model or 'nano'}, {loaded.report.dtype}, {loaded.report.device}"
    with tempfile.TemporaryDirectory() as folder:
        question = spoken(write_question(Path(folder) / "question.wav", flags.question))
        turns.our_turn(assistant, question, latency.WARM_UP.options())
        timelines = [record(f"{name}: ours", turns.our_turn, assistant, question, options)]
        if flags.naive:
            title = f"{name}: the published way"
            timelines.append(record(title, turns.naive_turn, loaded, question, options))
    draw(timelines, flags.out)
    print(flags.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
