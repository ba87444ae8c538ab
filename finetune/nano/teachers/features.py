"""Features of the natural corpus, in the form in which the stages of sound read espeak-ng's.

    python -m finetune.nano.teachers.features --corpus DIR ... --out DIR

Knows: the shards of the corpus, what is heard of an utterance, phonemes by espeak-ng's names.
Does not know: models, losses.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import torch

from finetune.nano.domain.splits import stable_hash
from finetune.nano.speech import store
from finetune.nano.speech.augment import CLEAN, draw_recording, heard
from finetune.nano.speech.synthesis import Sound, Utterance, sounds
from finetune.nano.speech.voices import DEFAULT_VOICE
from finetune.nano.teachers.classes import Likely, learn, renamed
from finetune.nano.teachers.corpus import Recorded, read_shard
from omni.config import AudioConfig

COUNTED = 6  # shards of a kind from which the names are learnt


def read_as(one: Recorded) -> tuple[Sound, ...]:
    """espeak-ng's reading of what was said.

    Raises:
        ResourceError: ``espeak-missing``.
        ValueError: it says nothing.
    """
    return sounds(Utterance(one.text, one.language, DEFAULT_VOICE))


def kind_of(path: Path) -> str:
    """The kind that a shard is of, which has one alphabet."""
    return path.stem.rpartition("-")[0]


def names(paths: Sequence[Path]) -> dict[str, Likely]:
    """For each kind of the corpus, what its symbols are called."""
    kinds: dict[str, list[Path]] = {}
    for path in paths:
        kinds.setdefault(kind_of(path), []).append(path)
    return {
        kind: learn(
            (one.sounds, read_as(one)) for path in some[:COUNTED] for one in read_shard(path)
        )
        for kind, some in kinds.items()
    }


def write_features(
    path: Path, folder: Path, config: AudioConfig, known: Mapping[str, Likely]
) -> Path:
    """Write the features of a corpus's shard, unless they are there."""
    target = folder / f"natural-{path.stem}.safetensors"
    if target.exists():
        return target
    torch.set_num_threads(1)  # one process a core
    rows = []
    for number, one in enumerate(read_shard(path)):
        seed = stable_hash("natural-recording", path.stem, number)
        clean = seed / 2**64 < store.CLEAN_SHARE
        recording = CLEAN if clean else store.unmoved(draw_recording(seed % 2**32))
        said = renamed(one.sounds, read_as(one), known[kind_of(path)])
        rows.append(store.features(one.wave, heard(one.wave, recording), said, config))
    store.save(rows, target)
    return target


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--workers", type=int, default=2)
    flags = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    from finetune.nano.base.checkpoint import nano_config

    paths = [path for folder in flags.corpus for path in sorted(folder.glob("*.jsonl"))]
    flags.out.mkdir(parents=True, exist_ok=True)
    write = partial(
        write_features, folder=flags.out, config=nano_config().audio, known=names(paths)
    )
    with ProcessPoolExecutor(flags.workers) as pool:
        for target in pool.map(write, paths):
            logging.info(target.name)


if __name__ == "__main__":
    main()
