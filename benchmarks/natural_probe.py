"""How much of what natural voices say is left in the embedded model's ears and codes.

    python -m benchmarks.natural_probe --corpus DIR

Small CTC readers of phonemes, without timings, learn from English of the natural corpus behind the
frozen parts of a checkpoint: ``mel`` hears what the encoder hears, ``encoder`` its output,
``latents`` what is quantized, ``codes`` what the codes give back. All are equally large. They are
measured on sentences of the validation side in the voice of the answers and in flite's held-out
voice: the share of phonemes that are wrong.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

if __name__ == "__main__" and not __package__:
    sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.lib.machine import about_machine, sentence
from benchmarks.lib.rows import Row, table
from benchmarks.quality.natural.held_out import spoken
from benchmarks.quality.natural.listeners import at_16_khz
from benchmarks.quality.recognizer import word_errors
from benchmarks.round_trip import RoundTrip
from finetune.nano.domain import sentences
from finetune.nano.speech.synthesis import SPOKEN_RATE
from finetune.nano.teachers.corpus import read_shard
from finetune.nano.teachers.english import english_phones
from finetune.nano.teachers.phones import MARKS, PAUSES, STRESS
from finetune.nano.teachers.speakers import QUICK_ANSWER, held_out
from omni.errors import ResourceError
from omni.loading.nano import NANO_FOLDER
from omni.media.mel import log_mel

SEED = 3
WAYS = ("mel", "encoder", "latents", "codes")
UNITS = 128
POOL = 4  # scores of a code: phonemes come faster than codes
STEPS, BATCH, RATE = 400, 24, 3e-3
TESTED = 40


@dataclass(frozen=True)
class Heard:
    """An utterance: (frames, features) of each way, and the numbers of its phonemes."""

    features: Mapping[str, Tensor]
    phonemes: Tensor


def phonemes_of(text: str) -> str:
    """The phonemes of an English text, without stress and pauses.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    gone = STRESS + MARKS + PAUSES
    return "".join(one for one in english_phones(text).symbols if one not in gone and one != " ")


class Reader(nn.Module):
    """Features to scores of phonemes."""

    def __init__(self, size: int, pool: int, symbols: int) -> None:
        super().__init__()
        self.pool = pool
        self.norm = nn.LayerNorm(size)
        self.memory = nn.GRU(size, UNITS, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * UNITS, pool * symbols)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, frames, size) to log-probabilities (batch, frames * pool, symbols)."""
        hidden, _ = self.memory(self.norm(features))
        return self.head(hidden).unflatten(-1, (self.pool, -1)).flatten(1, 2).log_softmax(-1)


class Ears:
    """The parts of a checkpoint that listen."""

    def __init__(self, folder: Path) -> None:
        trip = RoundTrip(folder)
        self.audio, self.config = trip.audio, trip.config

    @torch.no_grad()
    def heard(self, wave: np.ndarray) -> dict[str, Tensor]:
        """What is left after each way of a waveform, float32 (samples,) at 24 kHz."""
        bridge = self.audio.audio_bridge_model
        mel = log_mel(torch.from_numpy(at_16_khz(wave, SPOKEN_RATE)), self.config.audio)
        hidden = self.audio.audio_model([mel])[0]
        latents = bridge.latents(hidden[None])[0][: bridge.code_length(len(hidden))]
        codes = bridge.recover(bridge.quantize(latents.float()))
        return {"mel": mel.T[::2], "encoder": hidden, "latents": latents, "codes": codes}


def learn(way: str, known: Sequence[Heard], symbols: int) -> Reader:
    """A reader of a way, trained."""
    torch.manual_seed(SEED)
    pool = POOL if way in ("latents", "codes") else 1
    reader = Reader(known[0].features[way].shape[1], pool, symbols)
    optimizer = torch.optim.AdamW(reader.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
    rng = Random(SEED)
    for _ in range(STEPS):
        some = rng.sample(known, BATCH)
        padded = pad_sequence([one.features[way].float() for one in some], batch_first=True)
        scores = reader(padded).transpose(0, 1)
        frames = torch.tensor([len(one.features[way]) * pool for one in some])
        sizes = torch.tensor([len(one.phonemes) for one in some])
        targets = torch.cat([one.phonemes for one in some])
        loss = F.ctc_loss(scores, targets, frames, sizes, zero_infinity=True)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return reader.eval()


@torch.no_grad()
def wrong(reader: Reader, way: str, tested: Sequence[Heard]) -> float:
    """The share of phonemes that it reads wrongly, in percent."""
    errors = total = 0
    for one in tested:
        best = reader(one.features[way][None].float())[0].argmax(-1).tolist()
        read = [x for place, x in enumerate(best) if x and (not place or x != best[place - 1])]
        wanted = one.phonemes.tolist()
        errors += word_errors([str(x) for x in read], [str(x) for x in wanted])
        total += len(wanted)
    return 100 * errors / max(1, total)


def main(arguments: Sequence[str] | None = None) -> int:
    """Learn, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", type=Path, default=NANO_FOLDER, help="a folder of nano's sizes")
    parser.add_argument("--utterances", type=int, default=800, help="to learn from")
    flags = parser.parse_args(arguments)
    ears = Ears(flags.model)
    paths = sorted(flags.corpus.glob("en-*.jsonl"))
    Random(SEED).shuffle(paths)
    said = [(one.text, one.wave) for path in paths for one in read_shard(path)][: flags.utterances]
    texts = sentences.sample("validation", "en", TESTED, SEED, "core")
    try:
        voices = {who.name: who for who in (QUICK_ANSWER, held_out("test", "en")[0])}
        tests = {
            name: [(text, spoken(who, text, "en")) for text in texts]
            for name, who in voices.items()
        }
        strings = [phonemes_of(text) for text, _ in said]
        alphabet = {sign: number for number, sign in enumerate(sorted(set("".join(strings))), 1)}

        def heard(text: str, wave: np.ndarray) -> Heard:
            numbers = [alphabet[sign] for sign in phonemes_of(text) if sign in alphabet]
            return Heard(ears.heard(wave), torch.tensor(numbers))

        known = [heard(*one) for one in said]
        tested = {name: [heard(*one) for one in some] for name, some in tests.items()}
    except ResourceError as error:
        parser.error(str(error))
    rows = []
    for way in WAYS:
        reader = learn(way, known, len(alphabet) + 1)
        for name, some in tested.items():
            rows.append(Row(f"{way}.{name}.phonemes_wrong_percent", wrong(reader, way, some)))
    command = shlex.join(["python", "-m", "benchmarks.natural_probe", *(arguments or sys.argv[1:])])
    print(f"{sentence(about_machine())}\n{command}\n{len(known)} utterances\n\n{table(rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
