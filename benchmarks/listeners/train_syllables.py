"""Trains the listener of ``any_text_zh`` on the natural corpus, from nothing.

    python -m benchmarks.listeners.train_syllables --corpus DIR --out runs/syllables

DIR is what ``python -m finetune.nano.teachers.corpus`` wrote. Called again, it goes on where it
stopped; in the end it writes its weights and tells its errors on everyday sentences in the voice of
the answers, and of held-out voices. It never hears nano.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

if __name__ == "__main__" and not __package__:
    sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.listeners.train_recognizer import masked
from benchmarks.quality.natural.held_out import some_everyday_texts, speaker, spoken
from benchmarks.quality.natural.listeners import at_16_khz
from benchmarks.quality.natural.syllables import (
    STRIDE,
    WEIGHTS,
    SyllableListener,
    encoded,
    heard_parts,
    parts_of,
)
from benchmarks.quality.recognizer import features, word_errors
from finetune.nano.base.loop import Loop, LoopOptions, Losses
from finetune.nano.domain.splits import stable_hash
from finetune.nano.speech.synthesis import SPOKEN_RATE
from finetune.nano.teachers.corpus import read_shard
from finetune.nano.teachers.speakers import ANSWERS
from finetune.nano.teachers.speaking import Speaker

logger = logging.getLogger(__name__)

SEED = 7
BATCH = 24
OPTIONS = LoopOptions(6_000, 2e-3, warmup=200, weight_decay=0.02, save_every_s=120)
TESTED = 60  # everyday sentences


class Pool:
    """Mandarin of a corpus as features and targets, in memory."""

    def __init__(self, corpus: Path) -> None:
        """
        Raises:
            FileNotFoundError: there is none.
        """
        self.mels: list[Tensor] = []
        self.targets: list[Tensor] = []
        for path in sorted(corpus.glob("zh-*.jsonl")):
            for said in read_shard(path):
                target = encoded(said.text)
                mel = features(at_16_khz(said.wave, SPOKEN_RATE))
                if 0 < len(target) < 0.9 * len(mel) / STRIDE:
                    self.mels.append(mel.half())
                    self.targets.append(torch.tensor(target))
        if not self.mels:
            raise FileNotFoundError(
                f"no Mandarin in {corpus}: python -m finetune.nano.teachers.corpus"
            )
        logger.info("%d utterances", len(self.mels))

    def batch(self, step: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Masked mels (batch, frames, bins), their lengths, all targets in a row, their lengths."""
        rng = np.random.default_rng(stable_hash("syllables", SEED, step) % 2**63)
        some = rng.integers(len(self.mels), size=8 * count)
        order = some[np.argsort([len(self.mels[index]) for index in some], kind="stable")]
        start = int(rng.integers(7 * count + 1))
        picks = order[start : start + count]
        mels = [masked(self.mels[index].float(), rng) for index in picks]
        targets = [self.targets[index] for index in picks]
        lengths = torch.tensor([len(mel) for mel in mels])
        sizes = torch.tensor([len(target) for target in targets])
        return pad_sequence(mels, batch_first=True), lengths, torch.cat(targets), sizes


def losses(listener: SyllableListener, pool: Pool, step: int) -> Losses:
    """The CTC loss of a step."""
    mels, lengths, targets, sizes = pool.batch(step, BATCH)
    scores = listener(mels).transpose(0, 1)
    frames = torch.clamp(-(-lengths // STRIDE), max=len(scores))
    return {"loss": F.ctc_loss(scores, targets, frames, sizes, zero_infinity=True)}


def error(listener: SyllableListener, voice: Speaker | None, count: int = TESTED) -> float:
    """Percent of the symbols of everyday sentences that are wrong; None: held-out voices."""
    wrong = total = 0
    for number, text in enumerate(some_everyday_texts("zh", count)):
        wave = spoken(voice or speaker(number, "zh"), text.text, "zh")
        wanted = parts_of(text.text)
        wrong += word_errors(heard_parts(listener, wave, SPOKEN_RATE), wanted)
        total += len(wanted)
    return 100 * wrong / max(1, total)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--steps", type=int, default=OPTIONS.steps)
    parser.add_argument("--minutes", type=float, default=math.inf, help="this time")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="FILE")
    flags = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.manual_seed(SEED)
    pool, listener = Pool(flags.corpus), SyllableListener()
    options = replace(OPTIONS, steps=flags.steps, max_s=60 * flags.minutes)
    loop = Loop(listener, list(listener.parameters()), flags.out, options)
    loop.run(lambda step: losses(listener, pool, step))
    listener.eval()
    save_file({name: part.half() for name, part in listener.state_dict().items()}, flags.weights)
    for name, voice in (("the voice of the answers", ANSWERS["zh"]), ("held-out voices", None)):
        print(f"{TESTED} everyday sentences, {name}: {error(listener, voice):.2f} % wrong")


if __name__ == "__main__":
    main()
