"""Speech of an adapter, judged by listeners that people's speech trained.

    python -m finetune compare ... --voices V/m3-38.wav V/*.wav --json answers.json --sounds heard
    python -m benchmarks.quality.natural.outside --answers answers.json --sounds heard \\
        --voices V/m3-38.wav V/*.wav

Knows: which answers were spoken, that the first voice is the wanted one. pocketsphinx writes down
what it hears (English), a speaker encoder tells the nearest voice; neither ever heard this project.
Does not know: how answers are made.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Row
from benchmarks.quality.natural.listeners import heard_words
from benchmarks.quality.natural.voices import nearest_voice
from benchmarks.quality.quality_rows import spoken
from benchmarks.quality.recognizer import error_rate
from finetune.measures.likeness import is_heard
from finetune.nano.speech.synthesis import SPOKEN_RATE
from omni.errors import OmniError
from omni.media.audio import read_sound


def answers_heard(answers: Path, sounds: Path, voices: Sequence[Path]) -> Iterator[Row]:
    """What the listeners make of the spoken answers of a comparison, before and after.

    Args:
        answers: the file of ``compare --json``.
        sounds: the folder of ``compare --sounds``.
        voices: recordings, one a voice; the first is the one that answers should have.

    Raises:
        ResourceError: ``teacher-missing``, a listener is not installed.
    """
    rows = json.loads(answers.read_text(encoding="utf-8"))["rows"]
    known = [sound_of(path) for path in voices]
    for side in ("before", "after"):
        said, heard, nearest = [], [], 0
        for number, row in enumerate(rows, 1):
            if not row["spoken"]:
                continue
            file = sounds / side / f"{number:04d}.wav"
            wave = sound_of(file) if file.is_file() else np.zeros(0, np.float32)
            said.append(row[side]["text"])
            sounding = is_heard(wave)
            heard.append(heard_words(wave, SPOKEN_RATE) if sounding else "")
            nearest += sounding and nearest_voice(wave, known, SPOKEN_RATE) == 0
        note = f"of {len(said)} answers, of the words that were written"
        yield Row(f"{side}_word_error", round(error_rate(heard, said, "en"), 1), note=f"%, {note}")
        yield Row(f"{side}_nearest", nearest, note=f"of {len(said)}, to {voices[0].stem}")


def readings_error(readings: Sequence[tuple[str, np.ndarray]]) -> tuple[float, float]:
    """pocketsphinx's word error in percent on English readings, and on espeak-ng's of the same.

    Args:
        readings: what was to be read, and how it was, float32 (samples,) at 24 kHz.
    """
    texts = [text for text, _ in readings]
    own = [heard_words(wave, SPOKEN_RATE) for _, wave in readings]
    espeak = [heard_words(spoken(text, "en"), SPOKEN_RATE) for text in texts]
    return error_rate(own, texts, "en"), error_rate(espeak, texts, "en")


def sound_of(path: Path) -> np.ndarray:
    """A recording, float32 (samples,) at 24 kHz."""
    return read_sound(path, SPOKEN_RATE).samples


def main(arguments: Sequence[str] | None = None) -> int:
    """Listen, print, write."""
    parser = flags_parser(__doc__)
    add = parser.add_argument
    add("--answers", type=Path, required=True, help="what `finetune compare --json` wrote")
    add("--sounds", type=Path, required=True, help="what `finetune compare --sounds` wrote")
    add("--voices", type=Path, nargs="+", required=True, help="recordings, the wanted one first")
    flags = parser.parse_args(arguments)
    try:
        rows = list(answers_heard(flags.answers, flags.sounds, flags.voices))
    except (OmniError, OSError) as error:
        parser.error(str(error))
    command = command_of("benchmarks.quality.natural.outside", arguments)
    return report(rows, about_machine(), command, flags.json)


if __name__ == "__main__":
    sys.exit(main())
