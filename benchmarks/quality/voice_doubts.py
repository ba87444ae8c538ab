"""How often the look at a reference recording warns of what is all right, and misses what is not.

    python -m benchmarks.quality.voice_doubts
    python -m benchmarks.quality.voice_doubts --recordings FOLDER  # of people, one each

Single voices: the six ready ones, flite's, espeak-ng's, those of ``--recordings``, and Kokoro's
where it is installed (docs/voices.md). Two voices: any two of them, 5 s each, one behind the other;
far apart are those whose median pitches differ by 7 semitones and more. Then every single voice
with white noise, and cut at its top (also behind MP3). flite and espeak-ng must be installed. In
percent.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

import numpy as np
import soundfile
import soxr

from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Row
from finetune.nano.teachers import speaking
from finetune.nano.teachers.speakers import FLITE, STYLES
from omni.errors import ResourceError
from omni.listening.gallery import gallery
from omni.listening.reference_doubts import Doubt, doubts, two_voices, window_pitches
from omni.listening.settings import RATE

ENGLISH = "The quick answer is rarely the best. Take your time, ask again, and listen to people."
CHINESE = "早上的天气很好，我们沿着河边散步，一边走一边聊天，非常开心。"
ESPEAK = ("en-us", "en+f2", "en+f4", "en+m3", "en+m7", "cmn", "cmn+f2", "cmn+m2")
LONGEST_S, HALF_S = 10, 5
APART = 7.0  # semitones
FRAME = 512
NOISES_DB = (20, 10, 0, -3)  # the voice's level over the noise's
CUTS = (0.02, 0.1, 0.36)  # of the samples of speech

Spoiler: TypeAlias = Callable[[np.ndarray], np.ndarray]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = flags_parser(__doc__)
    parser.add_argument("--recordings", type=Path, help="a folder of recordings, a person each")
    flags = parser.parse_args(arguments)
    voices = dict(single_voices(flags.recordings))
    command = command_of("benchmarks.quality.voice_doubts", arguments)
    return report(list(rows(voices)), about_machine(), command, flags.json)


def single_voices(recordings: Path | None) -> Iterator[tuple[str, np.ndarray]]:
    """One person each, float32 (samples,) at RATE."""
    for voice in gallery():
        yield voice.id, _read(voice.path)
    for path in sorted(recordings.iterdir()) if recordings else ():
        if path.suffix in (".wav", ".flac", ".ogg", ".mp3"):
            yield path.stem, _read(path)
    for name in (*FLITE["train"], *FLITE["test"]):
        yield f"flite {name}", _said(["flite", "-voice", name, "-t", ENGLISH, "-o", "/dev/stdout"])
    for name in ESPEAK:
        text = CHINESE if name.startswith("cmn") else ENGLISH
        yield f"espeak-ng {name}", _said(["espeak-ng", "-v", name, "--stdout", text])
    try:
        for side in ("train", "validation", "test"):
            for language, text in (("en", ENGLISH), ("zh", CHINESE)):
                for style in STYLES[side][language]:  # type: ignore[index]
                    speaker = speaking.Speaker("kokoro", ((style, 1.0),))
                    wave = speaking.say(speaker, text, language).wave  # type: ignore[arg-type]
                    yield style, _at_rate(wave, speaking.SPOKEN_RATE)
    except ResourceError as error:
        print(f"without Kokoro: {error}", file=sys.stderr)


def rows(voices: dict[str, np.ndarray]) -> Iterator[Row]:
    """False alarms, then what is seen."""
    falsely = {name: found for name, wave in voices.items() if (found := _doubts(wave))}
    yield _row("single_warned", [name in falsely for name in voices], str(falsely or "none"))
    far: list[bool] = []
    near: list[bool] = []
    for one, other in combinations(voices.values(), 2):
        apart = abs(float(np.median(window_pitches(one)) - np.median(window_pitches(other))))
        seen = two_voices(np.concatenate([_half(one), _half(other)]))
        (far if apart >= APART else near).append(seen)
    yield _row("two_far_apart_warned", far)
    yield _row("two_of_like_pitch_warned", near)
    rng = np.random.default_rng(0)
    for snr in NOISES_DB:

        def noisy(wave: np.ndarray, snr: float = snr) -> np.ndarray:
            level = np.sqrt(np.mean(_talking(wave) ** 2)) * 10 ** (-snr / 20)
            return (wave + level * rng.standard_normal(wave.size)).astype(np.float32)

        yield _seen(f"noise_{snr}_db_warned", "noisy", voices, noisy)
    for share in CUTS:

        def cut(wave: np.ndarray, share: float = share) -> np.ndarray:
            height = np.quantile(np.abs(_talking(wave)), 1 - share)
            return np.clip(wave, -height, height) / height

        yield _seen(f"cut_{share:.0%}_warned".replace("%", "_percent"), "clipped", voices, cut)

        def cut_and_packed(wave: np.ndarray, cut: Spoiler = cut) -> np.ndarray:
            return _mp3(cut(wave))

        yield _seen(
            f"cut_{share:.0%}_mp3_warned".replace("%", "_percent"),
            "clipped",
            voices,
            cut_and_packed,
        )


def _seen(
    name: str,
    doubt: Doubt,
    voices: dict[str, np.ndarray],
    spoil: Spoiler,
) -> Row:
    return _row(name, [doubt in _doubts(spoil(wave)) for wave in voices.values()])


def _row(name: str, verdicts: list[bool], note: str = "") -> Row:
    found = f"{sum(verdicts)} of {len(verdicts)}"
    return Row(name, 100 * sum(verdicts) / len(verdicts), note=f"{found} {note}".strip())


def _doubts(wave: np.ndarray) -> tuple[Doubt, ...]:
    return doubts(wave, _talking(wave))


def _talking(wave: np.ndarray) -> np.ndarray:
    """The frames that are at most 20 dB below the loudest."""
    frames = wave[: wave.size // FRAME * FRAME].reshape(-1, FRAME)
    energy = np.mean(frames**2, axis=1)
    return frames[energy > energy.max() / 100].ravel()


def _half(wave: np.ndarray) -> np.ndarray:
    return wave[: HALF_S * RATE] / np.abs(wave).max()


def _mp3(wave: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, 0.8 * wave, RATE, format="MP3", subtype="MPEG_LAYER_III")
    file.seek(0)
    return _read(file)


def _said(command: list[str]) -> np.ndarray:
    spoken = subprocess.run(command, check=True, capture_output=True).stdout
    return _read(io.BytesIO(spoken))


def _read(file: Path | io.BytesIO) -> np.ndarray:
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    return _at_rate(samples.mean(axis=1), rate)


def _at_rate(samples: np.ndarray, rate: int) -> np.ndarray:
    return soxr.resample(samples, rate, RATE)[: LONGEST_S * RATE].astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
