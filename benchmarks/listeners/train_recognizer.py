"""Trains the listener of the speech error rows, from nothing.

    python -m benchmarks.listeners.train_recognizer --out runs/recognizer

Synthesizes what it learns from (espeak-ng must be installed), trains, measures itself on held-out
sentences and voices, and writes benchmarks/quality/data/recognizer.safetensors.xz. Called again, it
goes on where it stopped. It never hears a model's speech.
"""

from __future__ import annotations

import argparse
import logging
import math
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from benchmarks.quality.listener_error import held_out_utterances, own_error
from benchmarks.quality.recognizer import (
    RATE,
    RATES,
    STRIDE,
    WEIGHTS,
    Recognizer,
    encoded,
    features,
    load_recognizer,
    output_frames,
    write_recognizer,
)
from finetune.nano.base.loop import Loop, LoopOptions, Losses
from finetune.nano.base.precision import mixed_precision
from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import stable_hash
from finetune.nano.domain.styles import ASKED_STYLES
from finetune.nano.domain.width import LANGUAGES, DomainWidth
from finetune.nano.speech.augment import draw_recording, record
from finetune.nano.speech.synthesis import Utterance, speak
from finetune.nano.speech.texts import draw_text, heard
from finetune.nano.speech.voices import DEFAULT_VOICE, draw_voice

logger = logging.getLogger(__name__)

SEED = 5
POOL = 30_000  # utterances in English
CHINESE_SHARE = 3  # one Chinese utterance and step for so many English ones: Hanzi are easier
SHARD = 1_000
BATCH = 32
OPTIONS = LoopOptions(12_000, 2e-3, warmup=200, weight_decay=0.02, save_every_s=120)
DEFAULT_SHARE = 0.15  # of the utterances are by the voice of the answers, as it is
STYLED_SHARE = 0.2
NOISY_SHARE = 0.4
BIN_MASKS, FRAME_MASKS = (2, 14), (2, 12)  # how many, how wide at most
TESTED = 200  # utterances in each language


def draw(index: int, language: Language) -> Utterance:
    """The ``index``-th utterance to learn from: a text of training by a voice of training."""
    rng = Random(stable_hash("recognizer", index, language, SEED))
    width: DomainWidth = rng.choice(("core", "full"))
    text = draw_text(rng, language, "train", width)
    if rng.random() < DEFAULT_SHARE:
        said = Utterance(text, language, DEFAULT_VOICE)
    else:
        said = heard(rng, text, language, draw_voice(rng, "train"))
    return said.styled(rng.choice(ASKED_STYLES)) if rng.random() < STYLED_SHARE else said


def heard_features(index: int, said: Utterance) -> Tensor:
    """How the utterance is heard, sometimes through noise."""
    wave = speak(said, RATE)
    rng = Random(stable_hash("recognizer-noise", index, said.text))
    if rng.random() < NOISY_SHARE:
        wave = record(wave, draw_recording(rng.getrandbits(32), 0.7))
    return features(wave)


def shard_path(folder: Path, language: Language, number: int) -> Path:
    """The file of a thousand utterances."""
    return folder / f"{language}-{number:03d}.safetensors"


def write_shard(folder: Path, language: Language, number: int, size: int) -> None:
    """Synthesize one file, unless it is there."""
    path = shard_path(folder, language, number)
    if path.exists():
        return
    mels, targets = [], []
    for index in range(number * size, (number + 1) * size):
        said = draw(index, language)
        mel, target = heard_features(index, said), encoded(said.text, language)
        if len(target) > 0.9 * output_frames(len(mel), language):
            continue  # too fast to be spelt in so few frames
        mels.append(mel.half())
        targets.append(torch.tensor(target, dtype=torch.int16))
    tensors = {"mel": torch.cat(mels), "target": torch.cat(targets)}
    tensors["mel_lengths"] = torch.tensor([len(mel) for mel in mels])
    tensors["target_lengths"] = torch.tensor([len(target) for target in targets])
    draft = path.with_suffix(".draft")
    save_file(tensors, draft)
    draft.replace(path)
    logger.info("%s", path.name)


class Pool:
    """Everything to learn from, in memory; a step's batch is a function of its number."""

    def __init__(self, folder: Path, count: int = POOL, size: int = SHARD) -> None:
        """
        Args:
            count: English utterances; of Chinese ones there are fewer (CHINESE_SHARE).
            size: utterances of a file.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.mels: dict[Language, list[Tensor]] = {language: [] for language in LANGUAGES}
        self.targets: dict[Language, list[Tensor]] = {language: [] for language in LANGUAGES}
        files = -(-count // size)
        numbers = {"en": range(files), "zh": range(-(-files // CHINESE_SHARE))}
        for language, number in ((lang, n) for lang in LANGUAGES for n in numbers[lang]):
            write_shard(folder, language, number, size)
            tensors = load_file(shard_path(folder, language, number))
            self.mels[language] += tensors["mel"].split(tensors["mel_lengths"].tolist())
            lengths = tensors["target_lengths"].tolist()
            self.targets[language] += tensors["target"].split(lengths)

    def batch(
        self, step: int, language: Language, count: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Masked mels (batch, frames, bins), their lengths, all targets in a row, their lengths.

        Utterances of like length come together, so that little is padding.
        """
        rng = np.random.default_rng(stable_hash("batch", SEED, step) % 2**63)
        known = self.mels[language]
        some = rng.integers(len(known), size=8 * count)
        order = some[np.argsort([len(known[index]) for index in some], kind="stable")]
        start = int(rng.integers(7 * count + 1))
        picks = order[start : start + count]
        mels = [masked(known[index].float(), rng) for index in picks]
        targets = [self.targets[language][index].long() for index in picks]
        lengths = torch.tensor([len(mel) for mel in mels])
        sizes = torch.tensor([len(target) for target in targets])
        return pad_sequence(mels, batch_first=True), lengths, torch.cat(targets), sizes


def masked(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """The mel with some bins and some frames silenced (SpecAugment) and a slope on its bins."""
    mel = mel + torch.linspace(-1, 1, mel.shape[1]) * float(rng.normal(0, 0.15))
    for axis, (number, widest) in enumerate((FRAME_MASKS, BIN_MASKS)):
        for _ in range(number):
            wide = int(rng.integers(widest + 1))
            start = int(rng.integers(max(1, mel.shape[axis] - wide)))
            mel.narrow(axis, start, min(wide, mel.shape[axis] - start)).zero_()
    return mel


def losses(recognizer: Recognizer, pool: Pool, step: int, count: int = BATCH) -> Losses:
    """CTC on a batch of one language, the languages by turns, English more often."""
    language: Language = "en" if step % (CHINESE_SHARE + 1) else "zh"
    mels, lengths, targets, sizes = pool.batch(step, language, count)
    with mixed_precision(mels.device):
        scores = recognizer(mels, language).transpose(0, 1)
    frames = RATES[language] * ((lengths + STRIDE - 1) // STRIDE)
    loss = F.ctc_loss(scores, targets, frames, sizes, zero_infinity=True)
    return {"loss": loss, language: loss}


def print_errors(recognizer: Recognizer, count: int = TESTED) -> None:
    """Its own word errors."""
    recognizer.eval()
    for width in ("core", "full"):
        for language in LANGUAGES:
            for name, voice in (("held-out voices", None), ("the default voice", DEFAULT_VOICE)):
                said = held_out_utterances(language, count, width, voice)
                error = own_error(recognizer, said)
                print(f"{width} {language}, {count} held-out sentences, {name}: {error:.2f} %")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/recognizer"), help="folder for checkpoints and logs"
    )
    parser.add_argument("--utterances", type=int, default=POOL, help="utterances in each language")
    parser.add_argument("--steps", type=int, default=OPTIONS.steps)
    parser.add_argument(
        "--minutes",
        type=float,
        default=math.inf,
        help="stop after so many minutes; go on with the next call",
    )
    parser.add_argument(
        "--target", type=Path, default=WEIGHTS, help="file for the finished weights"
    )
    parser.add_argument("--test", action="store_true", help="measure the weights, train nothing")
    flags = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(SEED)
    if flags.test:
        print_errors(load_recognizer(flags.target))
        return
    recognizer = Recognizer()
    pool = Pool(flags.out / "pool", flags.utterances)
    options = replace(OPTIONS, steps=flags.steps, max_s=60 * flags.minutes)
    loop = Loop(recognizer, list(recognizer.parameters()), flags.out, options)
    loop.run(lambda step: losses(recognizer, pool, step))
    write_recognizer(recognizer, flags.target)
    print_errors(recognizer)


if __name__ == "__main__":
    main()
