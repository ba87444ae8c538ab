"""Whether captured steps give what run ones give, on whatever model is loaded.

Knows: how a step is fed with known inputs, both ways. Does not know: how fast either is.
On a device that captures nothing both sides are run, so all of this can be tried on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.lib.rows import Bound, Row
from benchmarks.speed.wave import relative_error
from omni.generation.captured_steps import CapturedDepthLoop, CapturedSteps
from omni.generation.decoding import CapturedRunner, ModelRunner
from omni.generation.steps import DepthLoop, Draws
from omni.loading.load import LoadedModel
from omni.options import SPEECH, Sampling

PREFILL = 40  # positions that are fed at once
STEPS = 24
FRAMES = 8
SEED = 3
# Keys that a window leaves out by its mask are read in another order than those that are not there:
# in 16 bits that moves a state by some hundredths after all layers.
STATE_ERROR = Bound(0.05, at_most=True)
SAME = Bound(1.0)
GREEDY = Sampling(1.0, 0, 1.0, 1.0, 1, greedy=True)


@dataclass(frozen=True)
class States:
    """What some steps gave."""

    states: Tensor  # (steps, hidden)

    def error(self, other: States) -> float:
        """Relative L2 distance to ``other``."""
        return relative_error(self.states.float(), other.states.float())


@torch.inference_mode()
def equality_rows(loaded: LoadedModel) -> Iterator[Row]:
    """Whether steps are captured, and how far what they give is from running them."""
    model = loaded.model
    captured = CapturedSteps(model) if CapturedSteps.possible(model) else None
    inputs = _inputs(loaded)
    run = _states(ModelRunner(model), inputs)
    if captured is None:
        yield Row("captured", "no", note=f"{loaded.report.device} captures nothing: both are run")
        replayed = _states(ModelRunner(model), inputs)
    else:
        assert captured.acquire()
        replayed = _states(CapturedRunner(captured), inputs)
        works = captured.works
        yield Row("captured", "yes" if works else "no: it failed, see the output above")
        captured.works = False  # the same function, launched operation by operation
        captured.forget()
        fixed = _states(CapturedRunner(captured), inputs)
        captured.works = works
        captured.forget()
        yield Row("replay_error", replayed.error(fixed), Bound(1e-3, at_most=True))
    yield Row("state_error", replayed.error(run), STATE_ERROR, "relative L2 to steps that are run")
    agree = model.lm_head(replayed.states).argmax(-1) == model.lm_head(run.states).argmax(-1)
    yield Row("likeliest_equal", agree.float().mean().item(), note="share of text tokens")
    for name, sampling in (("greedy", GREEDY), ("drawn", SPEECH)):
        same = _same_frames(loaded, captured, run.states[:FRAMES], sampling)
        yield Row(f"codes_equal.{name}", same, SAME, "share of codes, from the same states")
    if captured is not None:
        captured.release()


def _inputs(loaded: LoadedModel) -> Tensor:
    """Embeddings (1, positions, hidden), the same every time."""
    source = torch.Generator().manual_seed(SEED)
    ids = torch.randint(loaded.tokenizer.size, (1, PREFILL + STEPS), generator=source)
    table = loaded.model.get_input_embeddings()
    device = loaded.model.model.norm.weight.device
    rows: Tensor = table(ids.to(table.weight.device))
    return rows.to(device)


def _states(runner: ModelRunner, inputs: Tensor) -> States:
    runner.prefill(inputs[:, :PREFILL])
    rows = inputs[:, PREFILL:].split(1, dim=1)
    return States(torch.cat([runner.step(row).clone() for row in rows]))


def _same_frames(
    loaded: LoadedModel, captured: CapturedSteps | None, states: Tensor, sampling: Sampling
) -> float:
    run = DepthLoop(loaded.model, sampling, Draws(SEED))
    other: DepthLoop | CapturedDepthLoop
    if captured is None:
        other = DepthLoop(loaded.model, sampling, Draws(SEED))
    else:
        Draws(SEED, captured.source)  # which seeds it
        other = captured.depth_loop(sampling)
    equal = []
    for state in states.split(1):
        mine = other(state)[0].clone()
        equal.append((mine == run(state)[0]).float().mean().item())
    return sum(equal) / len(equal)
