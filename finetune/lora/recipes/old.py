"""What the embedded model knew before, as rows: for mixing in, so that it is not forgotten.

Knows: which tasks are mixed in what share. Does not know: what is learnt anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from finetune.nano.examples.examples import example
from finetune.nano.examples.parts import Example, Task

SEED = 77
# Of 100. Tasks that a small change spoils first have more than their share in the first training:
# recognition, and taking the voice of a recording.
SHARES: Mapping[Task, int] = {
    "tts": 12,
    "asr": 22,
    "image_qa": 12,
    "video_qa": 4,
    "spoken_qa": 14,
    "chat": 6,
    "style": 8,
    "clone": 22,
}


def old_examples(count: int, seed: int = SEED) -> Iterator[Example]:
    """``count`` examples of the training side, in both languages."""
    for number in range(count):
        yield example(number, seed, "train", None, "core", None, SHARES)
