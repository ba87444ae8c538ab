"""Fresh weights of the vision tower that look around from the first step.

Knows: which places the heads of a block prefer at first, written into the biases of its queries and
keys (rotary positions make of them a function of the distance).
Does not know: pictures, losses. All of it is learnt further.
Source of the idea: d'Ascoli et al., ConViT (arXiv:2103.10697): attention that starts like a
convolution learns from far fewer pictures.
"""

from __future__ import annotations

import math

import torch

from omni.model.layers.rotary import patch_angles
from omni.model.visual import VisualAttention, VisualTower

NEAR_STRENGTH = 2.1  # of the attention's logits: its peak over its mean
FAR_STRENGTH = 3.5
CONTENT_SHARE = 0.5  # of the usual size of queries and keys, so that places count at first
# Indices of the patches' frequencies: 1, 0.32, 0.1 radians a patch.
NEAR_FREQUENCIES = (0, 1)
FAR_FREQUENCY = 2
# Patches down and across, by head.
NEIGHBOURS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))


@torch.no_grad()
def start_tower(tower: VisualTower) -> None:
    """Change a fresh tower in place.

    The first and third block look at the neighbours, the second one to the sides: what it finds
    there tells how far a thing is from the borders, which nothing else in a picture does.
    """
    for index, attention in enumerate(m for m in tower.modules() if isinstance(m, VisualAttention)):
        if index < 3:
            attention.qkv.weight[: 2 * attention.qkv.in_features].mul_(CONTENT_SHARE)
        if index in (0, 2):
            _look_near(attention)
        elif index == 1:
            _look_far(attention)


def _look_near(attention: VisualAttention) -> None:
    for head in range(attention.heads):
        place = NEIGHBOURS[head % len(NEIGHBOURS)]
        for axis, distance in enumerate(place):
            for frequency in NEAR_FREQUENCIES:
                radians = _radians(attention, frequency)
                _prefer(attention, head, axis, frequency, NEAR_STRENGTH, -radians * distance)


def _look_far(attention: VisualAttention) -> None:
    for head in range(attention.heads):
        for axis, way in enumerate(SIDES[head % len(SIDES)]):
            if way:
                _prefer(attention, head, axis, FAR_FREQUENCY, FAR_STRENGTH, -way * math.pi / 2)


def _radians(attention: VisualAttention, frequency: int) -> float:
    """What a patch further turns the pair of numbers of a frequency by."""
    width = attention.proj.in_features // attention.heads
    return float(patch_angles(torch.tensor([[1, 0]]), width)[0, frequency])


def _prefer(
    attention: VisualAttention, head: int, axis: int, frequency: int, strength: float, phase: float
) -> None:
    """Add ``strength`` * cos(distance * radians of the frequency + phase) to a head's logits.

    ``axis``: 0 down, 1 across. A key's place minus the query's is the distance.
    """
    query, key, _ = attention.qkv.bias.view(3, attention.heads, -1)
    half = query.shape[-1] // 2
    size = math.sqrt(strength * math.sqrt(2 * half))
    place = axis * (half // 2) + frequency
    query[head, place] = size
    key[head, place] = size * math.cos(phase)
    key[head, place + half] = size * math.sin(phase)
