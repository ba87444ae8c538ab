"""hibari: one English voice of Kokoro's (af_heart), distilled, about a hundred times real time.

Knows: the wheel's model and how its spectra become a waveform. Does not know: texts, other voices.
"""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np

from finetune.nano.teachers import files
from finetune.nano.teachers.kokoro import Session, check_size, session
from finetune.nano.teachers.phones import Phones

VOICE = "af_heart"  # of Kokoro's
RATE = 24_000  # Hz
FRAME_S = 0.025  # of the lengths


@lru_cache(maxsize=1)
def alphabet() -> dict[str, int]:
    """The numbers of the symbols.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    path = files.package_folder("hibari") / "assets" / "vocab.json"
    return json.loads(path.read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _session() -> Session:
    return session(files.hibari_model())


def say(
    phones: Phones, speed: float = 1.0, seed: int = 0, pitch: float = 1.0
) -> tuple[np.ndarray, list[float]]:
    """As :func:`finetune.nano.teachers.kokoro.say`, in the one voice.

    Args:
        seed: of the noise in it.
        pitch: times the usual; the formants stay.
    """
    try:
        from hibari import dsp
    except ImportError as error:
        raise files.missing("the package hibari-tts") from error
    check_size(phones)
    numbers = alphabet()
    tokens = [0, *(numbers[symbol] for symbol in phones.symbols), 0]
    given: dict[str, np.ndarray] = {
        "ids": np.array([tokens], np.int64),
        "speed": np.array([speed], np.float32),
    }
    *spectra, lengths = _session().run(None, given)
    *filters, melody = (part[0] for part in spectra)
    wave = dsp.synth(*filters, melody * np.float32(pitch), np.random.default_rng(seed))
    return wave.astype(np.float32), (lengths.reshape(-1) * FRAME_S).tolist()
