"""The training loop that every stage shares: AdamW on a cosine, resumed from its last checkpoint.

Knows: steps, rates, clipping, checkpoints, the log. Does not know: models, data, losses.
A batch is a function of its step number alone, so a resumed run goes on as if never stopped.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)

Losses = dict[str, Tensor]
StepFunction = Callable[[int], Losses]


@dataclass(frozen=True)
class LoopOptions:
    """How long and how fast to train."""

    steps: int
    peak_rate: float
    warmup: int = 200  # steps
    final_share: float = 0.05  # of the peak rate, at the last step
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.05
    clip: float = 1.0  # of the gradient's norm
    save_every_s: float = 300.0
    log_every: int = 20  # steps
    max_s: float = math.inf  # stop after so many seconds of this run; resumable


def rate_at(step: int, options: LoopOptions) -> float:
    """The learning rate of a step: a linear warm-up, then half a cosine."""
    if step < options.warmup:
        return options.peak_rate * (step + 1) / options.warmup
    done = (step - options.warmup) / max(1, options.steps - options.warmup)
    share = options.final_share
    return options.peak_rate * (share + (1 - share) * 0.5 * (1 + math.cos(math.pi * min(1, done))))


class Loop:
    """One stage's training run in a folder of its own.

    Args:
        module: what is saved and restored.
        parameters: what is trained.
        folder: holds last.pt and log.jsonl.
        helper: what only the losses need; trained, saved and restored beside the module.
    """

    def __init__(
        self,
        module: nn.Module,
        parameters: list[nn.Parameter],
        folder: Path,
        options: LoopOptions,
        helper: nn.Module | None = None,
    ) -> None:
        self.module, self.options, self.folder = module, options, folder
        self.helper = helper or nn.Module()
        self.parameters = parameters = [*parameters, *self.helper.parameters()]
        folder.mkdir(parents=True, exist_ok=True)
        decayed = [p for p in parameters if p.ndim > 1]
        plain = [p for p in parameters if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": options.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=options.peak_rate,
            betas=options.betas,
            fused=parameters[0].device.type in ("cpu", "cuda"),
        )
        self.step = 0
        self._restore()

    @property
    def checkpoint(self) -> Path:
        """The file that training resumes from."""
        return self.folder / "last.pt"

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.options.steps

    def run(self, step_losses: StepFunction) -> None:
        """Train until the last step, or until ``max_s`` of this run are over.

        ``step_losses(step)`` gives named scalar losses, of which ``loss`` is minimized.

        Raises:
            FloatingPointError: the loss is not finite.
        """
        began = saved = logged = time.monotonic()
        seen = 0
        while not self.finished:
            for group in self.optimizer.param_groups:
                group["lr"] = rate_at(self.step, self.options)
            losses = step_losses(self.step)
            losses["loss"].backward()
            norm = nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
            if not torch.isfinite(norm):
                raise FloatingPointError(f"the gradient is not finite at step {self.step}")
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.step += 1
            seen += 1
            now = time.monotonic()
            if self.step % self.options.log_every == 0 or self.finished:
                self._log(losses, float(norm), seen / (now - logged))
                logged, seen = now, 0
            if now - saved > self.options.save_every_s:
                self.save()
                saved = now
            if now - began > self.options.max_s:
                break
        self.save()

    def save(self) -> None:
        """Write the state to resume from, whole or not at all."""
        draft = self.checkpoint.with_suffix(".draft")
        state = {
            "step": self.step,
            "module": self.module.state_dict(),
            "helper": self.helper.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, draft)
        draft.replace(self.checkpoint)

    def _restore(self) -> None:
        if not self.checkpoint.exists():
            return
        device = self.parameters[0].device
        state = torch.load(self.checkpoint, map_location=device, weights_only=True)
        self.module.load_state_dict(state["module"])
        self.helper.load_state_dict(state["helper"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        logger.info("%s: resumed at step %d", self.folder.name, self.step)

    def _log(self, losses: Losses, norm: float, speed: float) -> None:
        row: dict[str, float] = {
            name: round(float(value.detach()), 5) for name, value in losses.items()
        }
        row |= {"norm": round(norm, 3), "steps_per_s": round(speed, 3)}
        row["rate"] = rate_at(self.step - 1, self.options)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": self.step, **row}) + "\n")
        if self.step % (10 * self.options.log_every) == 0 or self.finished:
            logger.info("%s step %d %s", self.folder.name, self.step, row)
