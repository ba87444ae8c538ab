"""Where the embedded model's speech gets lost, stage by stage, without its language model.

    python -m benchmarks.round_trip
    python -m benchmarks.round_trip --model FOLDER --items 20 --json trip.json

Sentences of the validation side, as espeak-ng reads them, go through more and more of the way from
sound to sound, and come back as a listener and two comparisons find them. ``mel``: the true mel
through the vocoder; ``mean``: codes and back to the mean mel, then the vocoder; ``codes``: the same
with the flow, which is all that an answer goes through. ``espeak`` has lost nothing: what the
measures themselves leave.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor

from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Row
from benchmarks.quality import recognizer as listening
from benchmarks.quality.quality_rows import at_16_khz, spoken_cepstra
from benchmarks.quality.scoring import style_met
from finetune.measures.likeness import VoicePrint, cepstra, nearest, nearest_voice, voice_print
from finetune.nano.base.checkpoint import fresh_model, fresh_vocoder, load_checkpoint
from finetune.nano.domain import sentences
from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import Split
from finetune.nano.domain.width import LANGUAGES, DomainWidth
from finetune.nano.speech import mel as spoken_mel
from finetune.nano.speech.synthesis import HEARD_RATE, Utterance, speak
from finetune.nano.speech.voices import DEFAULT_VOICE, distinct_voices
from omni.loading.nano import NANO_FOLDER
from omni.media.mel import log_mel
from omni.prompting.styles import StyleName

SEED = 5
AMONG = 10  # sentences that differ in one word
STYLES: tuple[StyleName, ...] = ("high", "low")  # whose pitch must survive; lengths do anyway
VOICES = 8  # of training: of the validation side there are only four families


@dataclass(frozen=True)
class Compared:
    """A sentence after a way: found among others, its pitch off in octaves, high or low as told."""

    heard: str
    sentence_found: bool
    voice_found: bool
    pitch_off: float
    style_met: bool


class RoundTrip:
    """The parts of a checkpoint that sound goes through."""

    def __init__(self, folder: Path) -> None:
        model, self.vocoder = fresh_model(0), fresh_vocoder(0)
        load_checkpoint(folder, model, self.vocoder)
        self.audio, self.config = model.audio_tokenizer.eval(), model.config

    def ways(self) -> Mapping[str, Callable[[Utterance], np.ndarray]]:
        """From an utterance to what is heard of it, float32 (samples,) at 24 kHz."""
        return {
            "espeak": speak,
            "mel": lambda said: self.vocoded(self.true_mel(speak(said))),
            "mean": lambda said: self.vocoded(self.mean_mel(self._codes(said))),
            "codes": lambda said: self.vocoded(self.mel(self._codes(said))),
        }

    def _codes(self, said: Utterance) -> Tensor:
        return self.codes(speak(said, HEARD_RATE))

    def codes(self, wave: np.ndarray) -> Tensor:
        """The codes (frames, codebooks) of a waveform, float32 (samples,) at 16 kHz."""
        return self.audio.encode([log_mel(torch.from_numpy(wave), self.config.audio)])[0]

    def true_mel(self, wave: np.ndarray) -> Tensor:
        """The mel (frames, bins) of a waveform, float32 (samples,) at 24 kHz."""
        return spoken_mel.log_mel(torch.from_numpy(wave))

    def mel(self, codes: Tensor) -> Tensor:
        """The mel (frames, bins) that the flow gives for codes."""
        mel, _ = self.audio.decode(codes, generator=torch.Generator().manual_seed(SEED))
        return mel[0]

    @torch.no_grad()
    def mean_mel(self, codes: Tensor) -> Tensor:
        """The mean mel (frames, bins) of codes, before the flow."""
        entries = self.audio.audio_bridge_model.decode(codes)[None]
        hidden, _ = self.audio.audio_decoder(entries, torch.tensor([len(codes)]))
        return self.audio.audio_flow_matching_decoder.prenet(hidden)[0]

    @torch.no_grad()
    def vocoded(self, mel: Tensor) -> np.ndarray:
        """The waveform of a mel, float32 (samples,) at 24 kHz."""
        noise = torch.Generator().manual_seed(SEED)
        return self.vocoder(mel.T[None], generator=noise)[0].numpy()


def measure(
    trip: RoundTrip,
    items: int,
    width: DomainWidth,
    recognizer: listening.Recognizer,
    side: Split = "train",
) -> Iterator[Row]:
    """The rows of both languages, way by way; ``side``: of the voices that are to be kept."""
    for language in LANGUAGES:
        drawn = sentences.hard_sets("validation", language, 4 * items, SEED, width, AMONG)
        sets = list({texts[0]: texts for texts in drawn}.values())[:items]
        for name, way in trip.ways().items():
            found = [
                compared(way, texts, language, number, recognizer, side)
                for number, texts in enumerate(sets)
            ]
            wanted = [texts[0] for texts in sets]
            wrong = listening.error_rate([one.heard for one in found], wanted, language)
            values = {
                "wer_percent": wrong,
                "sentence_percent": 100 * statistics.mean(x.sentence_found for x in found),
                "voice_percent": 100 * statistics.mean(x.voice_found for x in found),
                "style_percent": 100 * statistics.mean(x.style_met for x in found),
                "pitch_off_octaves": statistics.median(x.pitch_off for x in found),
            }
            for measure_name, value in values.items():
                yield Row(f"{language}.{name}.{measure_name}", value, note=f"{len(sets)} items")


def compared(
    way: Callable[[Utterance], np.ndarray],
    texts: Sequence[str],
    language: Language,
    number: int,
    recognizer: listening.Recognizer,
    side: Split = "train",
) -> Compared:
    """The first of ``texts`` in the voice of the answers and in one of ``side``, after ``way``.

    In the voice of the answers it is also read high or low, by turns.
    """
    said = Utterance(texts[0], language, DEFAULT_VOICE)
    wave = way(said)
    style = STYLES[number % len(STYLES)]
    others = texts[::-1]  # the right one last: a tie is a miss
    known = [spoken_cepstra(text, language) for text in others]
    voices = distinct_voices(Random(number), side, VOICES)
    print_found = voice_print(way(Utterance(texts[0], language, voices[0])))
    prints = [_voice_print(Utterance(texts[0], language, voice)) for voice in voices[::-1]]
    return Compared(
        recognizer.hear(at_16_khz(wave), language),
        nearest(cepstra(wave), known) == len(others) - 1,
        nearest_voice(print_found, prints) == len(prints) - 1,
        abs(print_found.pitch - prints[-1].pitch),
        style_met(style, way(said.styled(style)), wave),
    )


@lru_cache(maxsize=8192)
def _voice_print(said: Utterance) -> VoicePrint:
    return voice_print(speak(said))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = flags_parser(__doc__)
    parser.add_argument("--model", type=Path, default=NANO_FOLDER, help="a folder of nano's sizes")
    parser.add_argument("--items", type=int, default=48, help="sentences in each language")
    parser.add_argument(
        "--voices",
        choices=("train", "test"),
        default="train",
        help="voices that training heard, or held-out ones (test)",
    )
    flags = parser.parse_args(arguments)
    if flags.items < 1:
        parser.error("--items must be 1 or more")
    recognizer = listening.load_recognizer(listening.WEIGHTS)
    trip = RoundTrip(flags.model)
    rows = list(measure(trip, flags.items, "core", recognizer, flags.voices))
    return report(rows, about_machine(), command_of("benchmarks.round_trip", arguments), flags.json)


if __name__ == "__main__":
    sys.exit(main())
