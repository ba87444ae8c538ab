"""flite: English voices built from people's recordings (CMU Arctic), by the program ``flite``.

Knows: its command line, its voices, its phonemes in time. Does not know: other teachers' symbols.
Its phonemes are in the notation of the CMU dictionary; they have no place in the text.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from finetune.nano.speech.synthesis import Sound
from finetune.nano.teachers.files import missing
from finetune.nano.teachers.phones import SILENCE

VOICES = ("slt", "rms", "awb", "kal16")
RATE = 16_000  # Hz
PAUSE = "pau"


def say(text: str, voice: str, speed: float = 1.0) -> tuple[np.ndarray, tuple[Sound, ...]]:
    """The waveform, float32 (samples,) at RATE, and its phonemes.

    Raises:
        ResourceError: ``teacher-missing``.
        ValueError: there is no such voice, or nothing is said.
    """
    if voice not in VOICES:
        raise ValueError(f"flite has the voices {', '.join(VOICES)}, not {voice}")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "said.wav"
        command = ["flite", "-voice", voice, "--setf", f"duration_stretch={1 / speed:.4f}"]
        command += ["-psdur", "-t", text, "-o", str(path)]
        try:
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise missing(f"the program flite ({error})") from error
        if not path.is_file():
            raise ValueError(f"flite says nothing for {text!r}")
        wave, rate = soundfile.read(path, dtype="float32")
    if rate != RATE or not wave.any():
        raise ValueError(f"flite says nothing for {text!r}, or not at {RATE} Hz")
    return wave, read_sounds(told)


def read_sounds(told: str) -> tuple[Sound, ...]:
    """Phonemes with the time that each ends, as flite prints them (``dh:0.342``), to sounds."""
    sounds, now = [], 0.0
    for entry in told.split():
        name, _, end = entry.rpartition(":")
        sounds.append(Sound(now, SILENCE if name == PAUSE else name, 0))
        now = float(end)
    return tuple(sounds)
