"""The losses of a training run as one picture: ``python -m finetune.nano.curves RUN --out
FILE.svg``.

Knows: the logs of :class:`finetune.nano.base.loop.Loop`. Does not know: what the losses mean.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from finetune.nano.plan import STAGES

SMOOTHING = 0.9  # of the running mean over rows of the log
HIDDEN = ("step", "steps_per_s", "rate", "norm")


def read_log(path: Path) -> list[dict[str, float]]:
    """The rows of a log, a run that was resumed counted once."""
    rows = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows[row["step"]] = row
    return [rows[step] for step in sorted(rows)]


def smoothed(values: list[float]) -> list[float]:
    """A running mean that starts unbiased."""
    mean = weight = 0.0
    means = []
    for value in values:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        means.append(mean / weight)
    return means


def draw(run: Path, out: Path) -> None:
    """One plot a stage that has a log.

    Raises:
        FileNotFoundError: no stage has one.
    """
    import matplotlib

    matplotlib.use("svg" if out.suffix == ".svg" else "agg")
    from matplotlib import pyplot

    logs = {stage: run / stage / "log.jsonl" for stage in STAGES}
    logs = {stage: path for stage, path in logs.items() if path.exists()}
    if not logs:
        raise FileNotFoundError(f"no stage of {run} has a log")
    columns = min(3, len(logs))
    lines = -(-len(logs) // columns)
    figure, axes = pyplot.subplots(lines, columns, figsize=(4 * columns, 3 * lines), squeeze=False)
    for axis, (stage, path) in zip(axes.flat, logs.items(), strict=False):
        rows = read_log(path)
        names = dict.fromkeys(name for row in rows for name in row if name not in HIDDEN)
        for name in names:  # not every batch has every loss
            points = [(row["step"], row[name]) for row in rows if name in row]
            steps, values = zip(*points, strict=True)
            axis.plot(steps, smoothed(list(values)), label=name)
        axis.set_title(stage)
        axis.set_yscale("log")
        axis.legend(fontsize=7)
        axis.set_xlabel("steps")
    for axis in axes.flat[len(logs) :]:
        axis.set_visible(False)
    figure.tight_layout()
    figure.savefig(out)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="Plot the losses of a training run.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    draw(given.run, given.out)


if __name__ == "__main__":
    main()
