"""From scores to the next id: penalty, temperature, top-k, top-p and a draw.

Knows: tensors of scores and the settings of :class:`omni.options.Sampling`. Does not know: what
an id means, text from codes, the model.
Everything stays on the device of the scores: nothing here waits for it.

Order and meaning are those of the logits processors of transformers, which the published code
uses: a score below zero is multiplied by the penalty and one above divided by it, for every id
seen; then temperature; then top-k (ties with the k-th stay); then top-p (an id goes when the
probability of it and all less likely ones together is at most 1 - p; one always stays).
All of it is computed in float32, whatever the dtype of the scores.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import torch
from torch import Tensor

from omni.options import Sampling

# How many ids beyond the k-th are looked at for ties with it. Half-precision scores do tie; a
# longer run of equal ones is cut off, which spares a sort of the whole vocabulary at every step.
TIES = 64
STRETCH = 256  # scores that are looked at together when the highest of many are searched


def fresh_seed() -> int:
    """A seed nobody chose, small enough to be read out and typed in again."""
    return secrets.randbelow(2**31)


def random_source(seed: int, device: torch.device | str) -> torch.Generator:
    """The generator of one turn's draws, on the device that the scores are on."""
    return torch.Generator(device=device).manual_seed(seed)


def seen_ids(ids: Sequence[int], size: int, device: torch.device | str) -> Tensor:
    """Which ids occur in ``ids``: bool (1, size). Ids beyond ``size`` are ignored.

    Kept up to date with :func:`mark_seen`, so that a step never looks at the history again.
    """
    seen = torch.zeros(1, size, dtype=torch.bool)
    seen[0, [i for i in set(ids) if i < size]] = True
    return seen.to(device)


def mark_seen(seen: Tensor, ids: Tensor) -> None:
    """Adds ids (rows,) to ``seen`` (rows, size), in place."""
    seen.scatter_(1, ids[:, None], True)


def penalize(scores: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Scores (rows, size) with every id of ``seen`` (rows, size) made less likely."""
    if penalty == 1.0:
        return scores
    if scores.device.type == "cpu" and len(scores) == 1:
        return _penalize_few(scores, seen, penalty)
    return torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)


def _penalize_few(scores: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """The same, looking at the seen ids alone: their number is known on the CPU without a wait."""
    ids = seen[0].nonzero()[:, 0]
    some = scores[:, ids]
    some = torch.where(some < 0, some * penalty, some / penalty)
    return scores.index_copy(1, ids, some)


def adjust(
    scores: Tensor,
    sampling: Sampling,
    seen: Tensor | None = None,
    banned: Tensor | None = None,
) -> Tensor:
    """The scores that a greedy choice compares: banned ids out, seen ids penalized.

    Args:
        scores: (rows, size), any float dtype.
        seen: bool (rows, size), the ids the repetition penalty applies to.
        banned: bool (size,) or (rows, size), ids that cannot be chosen.

    Returns:
        float32 (rows, size).
    """
    scores = scores.float()
    if banned is not None:
        scores = scores.masked_fill(banned, -torch.inf)
    if seen is not None:
        scores = penalize(scores, seen, sampling.repetition_penalty)
    return scores


def _highest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` highest scores and their ids, both (rows, count), highest first.

    Of many scores on the CPU, whose top-k copies all of them, just the stretches are searched that
    have the highest maxima: nothing outside them is higher than ``count`` scores inside.
    """
    size = scores.shape[-1]
    if scores.device.type != "cpu" or len(scores) != 1 or size < 4 * count * STRETCH:
        return torch.topk(scores, count)
    whole = size - size % STRETCH
    stretches = scores[0, :whole].view(-1, STRETCH)
    first = torch.topk(stretches.amax(1), count, sorted=False).indices[:, None] * STRETCH
    ids = (first + torch.arange(STRETCH)).flatten()
    ids = torch.cat((ids, torch.arange(whole, size)))
    likely, order = torch.topk(scores[:, ids], count)
    return likely, ids[order]


def candidates(scores: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """What may be drawn of adjusted scores (rows, size), by temperature, top-k and top-p.

    Returns:
        Probabilities that sum to one and their ids, both (rows, m), likeliest first.
    """
    size = scores.shape[-1]
    scores = scores / sampling.temperature
    if 0 < sampling.top_k < size:
        likely, ids = _highest(scores, min(size, sampling.top_k + TIES))
        last = likely[:, sampling.top_k - 1, None]
        likely = likely.masked_fill(likely < last, -torch.inf)
    else:
        likely, ids = torch.sort(scores, descending=True)
    if sampling.top_p < 1.0:
        # Summed from the low end, as the reference does: the border is then the same to the bit.
        tail = likely.flip(-1).softmax(-1).cumsum(-1).flip(-1)
        gone = tail <= 1.0 - sampling.top_p
        gone[:, 0] = False
        likely = likely.masked_fill(gone, -torch.inf)
    return likely.softmax(-1), ids


def draw(weights: Tensor, source: torch.Generator | None) -> Tensor:
    """One index a row, drawn in proportion to ``weights`` (rows, m): int64 (rows,).

    The race of exponentials: the smallest of E_i / w_i, E_i ~ Exp(1), is i with probability
    w_i / sum(w). Equal in distribution to torch.multinomial, which waits for the device to check
    its input.
    """
    race = torch.empty_like(weights).exponential_(generator=source)
    return (weights / race.clamp_min(torch.finfo(weights.dtype).tiny)).argmax(-1)


def pick(
    scores: Tensor,
    sampling: Sampling,
    seen: Tensor | None = None,
    banned: Tensor | None = None,
    source: torch.Generator | None = None,
) -> Tensor:
    """The next id of each row: int64 (rows,).

    Greedy (also at temperature 0): the highest adjusted score. Else a draw from
    :func:`candidates` with ``source``, a generator on the scores' device (None: torch's own).
    Other arguments as for :func:`adjust`.
    """
    adjusted = adjust(scores, sampling, seen, banned)
    if sampling.greedy or sampling.temperature <= 0:
        return adjusted.argmax(-1)
    likely, ids = candidates(adjusted, sampling)
    return ids.gather(1, draw(likely, source)[:, None])[:, 0]
