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
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import soxr
import torch
from safetensors.numpy import save_file

from finetune.nano.domain.splits import stable_hash
from finetune.nano.speech import mel as spoken_mel
from finetune.nano.speech.augment import draw_recording, record
from finetune.nano.speech.f0 import f0_track
from finetune.nano.speech.store import CLEAN_SHARE, FRAME_S
from finetune.nano.speech.synthesis import HEARD_RATE, SPOKEN_RATE, Sound, Utterance, sounds
from finetune.nano.speech.timing import frame_phonemes
from finetune.nano.speech.voices import DEFAULT_VOICE
from finetune.nano.teachers.classes import Likely, learn, renamed
from finetune.nano.teachers.corpus import Recorded, read_shard
from omni.config import AudioConfig
from omni.media.mel import log_mel as heard_log_mel

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
    rows: dict[str, list[np.ndarray]] = {"wave": [], "pitch": [], "heard": [], "phonemes": []}
    for number, one in enumerate(read_shard(path)):
        wave = one.wave[: len(one.wave) // spoken_mel.HOP * spoken_mel.HOP]
        heard = soxr.resample(wave, SPOKEN_RATE, HEARD_RATE, quality="HQ").astype(np.float32)
        seed = stable_hash("natural-recording", path.stem, number)
        if seed / 2**64 >= CLEAN_SHARE:
            unmoved = replace(draw_recording(seed % 2**32), lead_s=0.0, tail_s=0.0)
            heard = record(heard, unmoved)
        said = renamed(one.sounds, read_as(one), known[kind_of(path)])
        rows["wave"].append((wave * 32767).astype(np.int16))
        rows["pitch"].append(f0_track(wave).astype(np.float16))
        mel = heard_log_mel(torch.from_numpy(heard), config)
        rows["heard"].append(mel.T.to(torch.float16).numpy())
        rows["phonemes"].append(frame_phonemes(said, len(wave) // spoken_mel.HOP, FRAME_S))
    tensors = {name: np.ascontiguousarray(np.concatenate(part)) for name, part in rows.items()}
    for name, parts in rows.items():
        tensors[f"{name}_lengths"] = np.array([len(part) for part in parts], np.int64)
    draft = target.with_suffix(".draft")
    save_file(tensors, draft)
    draft.replace(target)
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
