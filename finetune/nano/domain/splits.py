"""Which side a combination is on: training, validation or test.

Knows: one rule, a stable hash of the combination itself, so that no seed, language or order of
drawing can bring a test combination into training.
Does not know: what is combined.
"""

from __future__ import annotations

import hashlib
from typing import Literal, TypeAlias, get_args

Split: TypeAlias = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

VALIDATION_SHARE = 0.04
TEST_SHARE = 0.08


def stable_hash(*parts: object) -> int:
    """64 bits that depend on the printed parts alone (never on the process)."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def split_of(*combination: object) -> Split:
    """The side of a combination, given by what it is made of."""
    place = stable_hash("split", *combination) / 2**64
    if place < TEST_SHARE:
        return "test"
    if place < TEST_SHARE + VALIDATION_SHARE:
        return "validation"
    return "train"
