"""A listener to Mandarin that writes down initials and finals with their tones.

Knows: what a text's are, the network, its weights in ``data``. Does not know: how it is trained
(:mod:`benchmarks.listeners.train_syllables`), whose speech it hears. It learnt from the natural
teachers' voices of training, and no Hanzi: homophones do not count, and a text may hold any.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.quality.natural.listeners import at_16_khz
from benchmarks.quality.recognizer import BINS, features
from finetune.nano.teachers.mandarin import FINALS, INITIALS, syllables
from finetune.nano.teachers.phones import TONES

WEIGHTS = Path(__file__).with_name("data") / "syllables.safetensors"
CHANNELS, MEMORY, LAYERS = 192, 160, 2
KERNEL = 5
STRIDE = 4  # mel frames of one score, 40 ms
BLANK = 0


@lru_cache(maxsize=1)
def symbols() -> tuple[str, ...]:
    """What can be written, the blank first: ``zh``, ``ong1``."""
    plain = [final for final in FINALS if not final.startswith("v")]
    finals = [f"{final}{tone}" for final in plain for tone in TONES]
    return ("", *(initial for initial in INITIALS if initial), *finals)


@lru_cache(maxsize=4096)
def _parts(text: str) -> tuple[str, ...]:
    hanzi = "".join(sign for sign in text if "\u4e00" <= sign <= "\u9fff")
    known, found = set(symbols()), []
    for initial, final, tone in syllables(hanzi):
        parts = (initial, f"{final.replace('v', 'ü')}{tone}")
        found += [part for part in parts if part in known and part]
    return tuple(found)


def parts_of(text: str) -> list[str]:
    """The initials and finals of a text, in its own order.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    return list(_parts(text))


def encoded(text: str) -> list[int]:
    """The numbers of :func:`parts_of`.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    known = {symbol: number for number, symbol in enumerate(symbols())}
    return [known[part] for part in parts_of(text)]


class SyllableListener(nn.Module):
    """Log-mel to scores of symbols."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv1d(BINS, CHANNELS, KERNEL, stride=2, padding=KERNEL // 2),
            nn.GELU(),
            nn.Conv1d(CHANNELS, CHANNELS, KERNEL, stride=2, padding=KERNEL // 2),
            nn.GELU(),
        )
        self.norm = nn.LayerNorm(CHANNELS)
        self.memory = nn.GRU(CHANNELS, MEMORY, LAYERS, batch_first=True, bidirectional=True)
        self.head = nn.Linear(CHANNELS + 2 * MEMORY, len(symbols()))

    def forward(self, mel: Tensor) -> Tensor:
        """(batch, frames, BINS) to log-probabilities (batch, frames / STRIDE, symbols)."""
        hidden = self.norm(self.front(mel.transpose(1, 2)).transpose(1, 2))
        hidden = torch.cat([hidden, self.memory(hidden)[0]], dim=-1)
        return self.head(hidden).float().log_softmax(-1)


@torch.inference_mode()
def heard_parts(listener: SyllableListener, wave: np.ndarray, rate: int) -> list[str]:
    """What is said in ``wave`` (samples,) at ``rate`` Hz."""
    best = listener(features(at_16_khz(wave, rate))[None])[0].argmax(-1).tolist()
    known = symbols()
    return [
        known[symbol]
        for place, symbol in enumerate(best)
        if symbol != BLANK and (place == 0 or symbol != best[place - 1])
    ]


@lru_cache(maxsize=2)
def load_listener(path: Path = WEIGHTS) -> SyllableListener:
    """The trained listener.

    Raises:
        FileNotFoundError: it was not trained yet.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path.name} is missing: python -m benchmarks.listeners.train_syllables"
        )
    listener = SyllableListener()
    listener.load_state_dict({name: part.float() for name, part in load_file(path).items()})
    return listener.eval()
