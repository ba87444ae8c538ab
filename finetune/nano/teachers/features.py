"""Features of the natural corpus, in the form in which the stages of sound read espeak-ng's.

    python -m finetune.nano.teachers.features --corpus DIR ... --out DIR
    python -m finetune.nano.teachers.features --corpus DIR ... --out DIR --answers

With ``--answers`` what is heard is espeak-ng in the voice of the answers, in step with the natural
speaker: whose codes are espeak-ng's are then to be spoken as the natural one speaks.

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

import numpy as np
import torch
from torch import Tensor

from finetune.nano.domain.splits import stable_hash
from finetune.nano.speech import store
from finetune.nano.speech.augment import CLEAN, draw_recording, heard
from finetune.nano.speech.synthesis import HEARD_RATE, Sound, Utterance, sounds, speak
from finetune.nano.speech.voices import DEFAULT_VOICE
from finetune.nano.teachers.classes import Likely, anchors, learn, renamed
from finetune.nano.teachers.corpus import Recorded, read_shard
from omni.config import AudioConfig
from omni.media.mel import log_mel

COUNTED = 6  # shards of a kind from which the names are learnt


def read_as(one: Recorded) -> tuple[Sound, ...]:
    """espeak-ng's reading of what was said.

    Raises:
        ResourceError: ``espeak-missing``.
        ValueError: it says nothing.
    """
    return sounds(_answer(one))


def _answer(one: Recorded) -> Utterance:
    """The same text as espeak-ng says it in the voice of the answers."""
    return Utterance(one.text, one.language, DEFAULT_VOICE, one.style)


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
    path: Path,
    folder: Path,
    config: AudioConfig,
    known: Mapping[str, Likely],
    answers: bool = False,
) -> Path:
    """Write the features of a corpus's shard, unless they are there.

    ``answers``: heard in espeak-ng's voice of the answers, in step with what is said.
    """
    target = folder / f"{'answers' if answers else 'natural'}-{path.stem}.safetensors"
    if target.exists():
        return target
    torch.set_num_threads(1)  # one process a core
    rows = []
    for number, one in enumerate(read_shard(path)):
        ours, likely = read_as(one), known[kind_of(path)]
        seed = stable_hash("natural-recording", path.stem, number)
        clean = answers or seed / 2**64 < store.CLEAN_SHARE
        recording = CLEAN if clean else store.unmoved(draw_recording(seed % 2**32))
        said = renamed(one.sounds, ours, likely)
        row = store.features(one.wave, heard(one.wave, recording), said, config)
        if answers:
            row["heard"] = in_step(
                log_mel(torch.from_numpy(speak(_answer(one), HEARD_RATE)), config),
                anchors(one.sounds, ours, likely),
                len(row["heard"]),
                config.sampling_rate / config.hop_length,
            )
        rows.append(row)
    store.save(rows, target)
    return target


def in_step(
    mel: Tensor, times: Sequence[tuple[float, float]], frames: int, rate: float
) -> np.ndarray:
    """A mel ``(bins, frames)`` in another reading's time, as features are kept.

    Between two times that belong together it is stretched evenly.

    Args:
        times: seconds of the other reading, and of this one.
        frames: of the other reading.
        rate: frames a second.

    Returns:
        float16 (frames, bins)
    """
    theirs, ours = zip((0.0, 0.0), *times, (frames / rate, mel.shape[1] / rate), strict=True)
    places = np.interp(np.arange(frames) / rate, theirs, ours) * rate
    low = np.clip(np.floor(places).astype(int), 0, mel.shape[1] - 2)
    share = np.clip(places - low, 0, 1)[:, None]
    rows = mel.T.numpy()
    return ((1 - share) * rows[low] + share * rows[low + 1]).astype(np.float16)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--answers",
        action="store_true",
        help="hear espeak-ng in the voice of the answers, in step with each utterance",
    )
    parser.add_argument("--workers", type=int, default=2)
    flags = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    from finetune.nano.base.checkpoint import nano_config

    paths = [path for folder in flags.corpus for path in sorted(folder.glob("*.jsonl"))]
    flags.out.mkdir(parents=True, exist_ok=True)
    write = partial(
        write_features,
        folder=flags.out,
        config=nano_config().audio,
        known=names(paths),
        answers=flags.answers,
    )
    with ProcessPoolExecutor(flags.workers) as pool:
        for target in pool.map(write, paths):
            logging.info(target.name)


if __name__ == "__main__":
    main()
