"""What a training tells while it runs: lines for people, a log, a picture of the losses.

Knows: the trainer's callbacks. Does not know: what is learnt.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

LOG_FILE, FIGURE_FILE = "log.jsonl", "losses.png"
_SHOWN = {"text": "text", "audio": "speech", "coarse": "first codebook"}


class Telling(TrainerCallback):
    """Lines with the losses and the time left, and the same in :data:`LOG_FILE`.

    Args:
        folder: of the run.
        tell: takes a line.
        counts: gives the ids that were learnt from so far, in this process.
    """

    def __init__(
        self, folder: Path, tell: Callable[[str], None], counts: Callable[[], int]
    ) -> None:
        self._folder, self._tell, self._counts = folder, tell, counts
        self._began = self._first_step = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """The clock of this process starts."""
        self._began, self._first_step = time.monotonic(), state.global_step
        drop_after(self._folder / LOG_FILE, state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """A line for people, a line for the log."""
        logs = logs or {}
        if not state.is_world_process_zero or not logs.keys() & {"loss", "eval_loss"}:
            return
        numbers = {name: value for name, value in logs.items() if isinstance(value, int | float)}
        with (self._folder / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": state.global_step, **numbers}) + "\n")
        self._tell(self._line(state, numbers))

    def _line(self, state: TrainerState, numbers: dict[str, float]) -> str:
        held_out = "eval_loss" in numbers
        prefix = "eval_" if held_out else ""
        parts = [
            f"{shown} {numbers[prefix + name]:.3f}"
            for name, shown in _SHOWN.items()
            if numbers.get(prefix + name)
        ]
        what = "held-out loss" if held_out else "loss"
        line = f"step {state.global_step} of {state.max_steps} · {what} "
        line += f"{numbers[prefix + 'loss']:.3f} ({', '.join(parts)})"
        if held_out:
            return line
        took = time.monotonic() - self._began
        done = state.global_step - self._first_step
        left = (state.max_steps - state.global_step) * took / max(1, done)
        return f"{line} · {self._counts() / max(took, 1e-6):.0f} tokens/s · {duration(left)} left"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def read_log(file: Path) -> list[dict[str, float]]:
    """The lines of a log; none where there is none."""
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]  # one may be cut off


def drop_after(file: Path, step: int) -> None:
    """Leave out what a run that broke off did after its last checkpoint."""
    rows = read_log(file)
    if rows:
        kept = [json.dumps(row) + "\n" for row in rows if row["step"] <= step]
        file.write_text("".join(kept), encoding="utf-8")


def draw_losses(folder: Path) -> Path | None:
    """The losses of a run as a picture; None without matplotlib or without a log."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    rows = read_log(folder / LOG_FILE)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name in ("loss", "text", "audio", "eval_loss"):
        points = [(row["step"], row[name]) for row in rows if row.get(name)]
        if points:
            style = "o-" if name == "eval_loss" else "-"
            axes.plot(*zip(*points, strict=True), style, label=_LEGEND[name], markersize=4)
    if not axes.lines:
        return None
    axes.set(xlabel="step", ylabel="loss (nats)", yscale="log")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(folder / FIGURE_FILE, dpi=120)
    return folder / FIGURE_FILE


_LEGEND = {"loss": "loss", "text": "text", "audio": "speech", "eval_loss": "held-out rows"}
