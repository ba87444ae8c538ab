"""Where the embedded model's codes and vocoder lose people's speech, without its language model.

    python -m benchmarks.natural_trip
    python -m benchmarks.natural_trip --model FOLDER --items 20 --json trip.json

As :mod:`benchmarks.round_trip`, with the voice of the answers that nano is to get and with held-out
natural voices, heard by listeners from outside: pocketsphinx, DNSMOS, a speaker encoder. ``said``
has lost nothing; ``mel``: the true mel through the vocoder; ``mean``: codes, mean mel, vocoder;
``codes``: the same with the flow, which is all that an answer goes through.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

if __name__ == "__main__" and not __package__:
    sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.lib.machine import about_machine, sentence
from benchmarks.lib.rows import Row, table, write_json
from benchmarks.quality import recognizer as listening
from benchmarks.quality.natural.held_out import spoken
from benchmarks.quality.natural.listeners import at_16_khz, heard_words, opinion
from benchmarks.quality.natural.voices import voice_of
from benchmarks.round_trip import RoundTrip
from finetune.nano.domain import sentences
from finetune.nano.speech.synthesis import SPOKEN_RATE
from finetune.nano.teachers.speakers import QUICK_ANSWER, held_out
from finetune.nano.teachers.speaking import Speaker
from omni.errors import ResourceError
from omni.loading.nano import NANO_FOLDER

SEED = 5
WAYS = ("said", "mel", "mean", "codes")


def through(trip: RoundTrip, wave: np.ndarray) -> dict[str, np.ndarray]:
    """A waveform, float32 (samples,) at 24 kHz, after each way."""
    codes = trip.codes(at_16_khz(wave, SPOKEN_RATE))
    return {
        "said": wave,
        "mel": trip.vocoded(trip.true_mel(wave)),
        "mean": trip.vocoded(trip.mean_mel(codes)),
        "codes": trip.vocoded(trip.mel(codes)),
    }


def measure(trip: RoundTrip, items: int, speakers: Sequence[Speaker]) -> Iterator[Row]:
    """The rows of each speaker, way by way, on sentences of the validation side."""
    texts = sentences.sample("validation", "en", items, SEED, "core")
    for speaker in speakers:
        ways = [through(trip, spoken(speaker, text, "en")) for text in texts]
        voices = [voice_of(way["said"], SPOKEN_RATE) for way in ways]
        for name in WAYS:
            waves = [way[name] for way in ways]
            heard = [heard_words(wave, SPOKEN_RATE) for wave in waves]
            alike = [
                float(voice @ voice_of(wave, SPOKEN_RATE))
                for voice, wave in zip(voices, waves, strict=True)
            ]
            note = f"{len(texts)} sentences"
            error = listening.error_rate(heard, texts, "en")
            yield Row(f"{speaker.name}.{name}.wer_percent", error, note=note)
            pleasant = statistics.mean(opinion(wave, SPOKEN_RATE) for wave in waves)
            yield Row(f"{speaker.name}.{name}.opinion", pleasant, note=note)
            yield Row(f"{speaker.name}.{name}.voice_alike", statistics.mean(alike), note=note)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=NANO_FOLDER, help="a folder of nano's sizes")
    parser.add_argument("--items", type=int, default=24, help="sentences")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    flags = parser.parse_args(arguments)
    if flags.items < 1:
        parser.error("--items must be 1 or more")
    try:
        rows = list(
            measure(
                RoundTrip(flags.model), flags.items, [QUICK_ANSWER, *held_out("test", "en")[:3]]
            )
        )
    except ResourceError as error:
        parser.error(str(error))
    about = about_machine()
    command = shlex.join(["python", "-m", "benchmarks.natural_trip", *(arguments or sys.argv[1:])])
    print(f"{sentence(about)}\n{command}\n\n{table(rows)}")
    if flags.json:
        write_json(flags.json, rows, machine=about, command=command)
    return 0


if __name__ == "__main__":
    sys.exit(main())
