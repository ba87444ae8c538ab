"""A small listener that writes down what was said: how intelligible is the speech of a model?

Knows: its own log-mel, the network, greedy CTC decoding, word errors, its weights in data/. Does
not know: how it is trained (:mod:`benchmarks.listeners.train_recognizer`), whose speech it hears.
It learnt from espeak-ng's speech alone and knows the domain's letters and Hanzi.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank

from finetune.nano.domain.languages import Language
from finetune.nano.domain.vocabulary import hanzi

WEIGHTS = Path(__file__).with_name("data") / "recognizer.safetensors.xz"
# How the file is packed: for numbers of two bytes.
HALVES = ({"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "lp": 1, "pb": 1},)
DROPPED = 3  # of the ten bits of a mantissa
RATE = 16_000  # Hz
HOP, WINDOW, N_FFT = 160, 400, 512  # samples
BINS = 80
FLOOR = 1e-6
STRIDE = 4  # mel frames of one hidden frame, 40 ms
CHANNELS = 224
FRONT_CHANNELS = 160
KERNEL = 5
DILATIONS = (1, 2, 4, 8)
MEMORY = 160  # units of the recurrent layer, in each direction
# Scores that a hidden frame gives: letters come faster than one in 40 ms, Hanzi do not.
RATES: Mapping[Language, int] = {"en": 2, "zh": 1}
BLANK = 0


@lru_cache(maxsize=2)
def symbols(language: Language) -> tuple[str, ...]:
    """What can be written, the blank first."""
    if language == "en":
        return ("", " ", *"abcdefghijklmnopqrstuvwxyz")
    return ("", *hanzi("full"))


def written(text: str, language: Language) -> str:
    """A text as the listener writes it: small letters and single spaces, or Hanzi alone."""
    if language == "zh":
        return "".join(re.findall(r"[\u4e00-\u9fff]", text))
    return " ".join(re.findall("[a-z]+", text.lower().replace("'", "")))


def encoded(text: str, language: Language) -> list[int]:
    """The numbers of the symbols of a text.

    Raises:
        ValueError: a symbol is unknown.
    """
    known = symbols(language)
    return [known.index(symbol) for symbol in written(text, language)]


@lru_cache(maxsize=1)
def _filters() -> Tensor:
    bank = mel_filter_bank(N_FFT // 2 + 1, BINS, 0.0, RATE / 2, RATE, norm="slaney")
    return torch.from_numpy(bank).float()


def features(wave: np.ndarray) -> Tensor:
    """Log-mel, float32 (frames, BINS), of ``wave`` float32 (samples,) at :data:`RATE`.

    Every bin has zero mean, so that neither level nor timbre matters; all bins together have unit
    variance.
    """
    sound = torch.from_numpy(np.pad(wave, (0, max(0, N_FFT - len(wave)))).astype(np.float32))
    spectrum = torch.stft(
        sound, N_FFT, HOP, WINDOW, torch.hann_window(WINDOW), return_complex=True
    ).abs()
    mel = (spectrum.T @ _filters()).clamp_min(FLOOR).log()
    mel = mel - mel.mean(0)
    return mel / mel.std().clamp_min(1e-3)


class _Block(nn.Module):
    """A dilated convolution beside its input."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(CHANNELS)
        padding = dilation * (KERNEL - 1) // 2
        self.conv = nn.Conv1d(CHANNELS, CHANNELS, KERNEL, dilation=dilation, padding=padding)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, frames, channels) to the same."""
        return hidden + F.gelu(self.conv(self.norm(hidden).transpose(1, 2))).transpose(1, 2)


class Recognizer(nn.Module):
    """Log-mel to scores of symbols; one trunk for both languages."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv1d(BINS, FRONT_CHANNELS, KERNEL, stride=2, padding=KERNEL // 2),
            nn.GELU(),
            nn.Conv1d(FRONT_CHANNELS, CHANNELS, KERNEL, stride=2, padding=KERNEL // 2),
            nn.GELU(),
        )
        self.blocks = nn.Sequential(*(_Block(dilation) for dilation in DILATIONS))
        self.norm = nn.LayerNorm(CHANNELS)
        self.memory = nn.GRU(CHANNELS, MEMORY, batch_first=True, bidirectional=True)
        self.heads = nn.ModuleDict(
            {
                language: nn.Linear(CHANNELS + 2 * MEMORY, rate * len(symbols(language)))
                for language, rate in RATES.items()
            }
        )

    def forward(self, mel: Tensor, language: Language) -> Tensor:
        """(batch, frames, BINS) to log-probabilities (batch, RATES * frames / 4, symbols)."""
        hidden = self.front(mel.transpose(1, 2)).transpose(1, 2)
        hidden = self.norm(self.blocks(hidden))
        hidden = torch.cat([hidden, self.memory(hidden)[0]], dim=-1)
        scores = self.heads[language](hidden).float()
        return scores.view(len(mel), -1, len(symbols(language))).log_softmax(-1)

    @torch.inference_mode()
    def hear(self, wave: np.ndarray, language: Language) -> str:
        """What is said in ``wave`` (samples,) at :data:`RATE`, as :func:`written` writes."""
        scores = self(features(wave)[None], language)[0]
        return collapsed(scores.argmax(-1).tolist(), language)


def output_frames(mel_frames: int, language: Language) -> int:
    """Scores that come of so many mel frames."""
    return RATES[language] * -(-mel_frames // STRIDE)


def collapsed(best: Sequence[int], language: Language) -> str:
    """The text of a path through the scores: repetitions and blanks left out."""
    known = symbols(language)
    changes = [
        symbol
        for place, symbol in enumerate(best)
        if symbol != BLANK and (place == 0 or symbol != best[place - 1])
    ]
    return " ".join("".join(known[symbol] for symbol in changes).split())


def load_recognizer(path: Path = WEIGHTS) -> Recognizer:
    """The trained listener.

    Raises:
        FileNotFoundError: it was not trained yet.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path.name} is missing: python -m benchmarks.listeners.train_recognizer"
        )
    recognizer = Recognizer()
    state = load(lzma.decompress(path.read_bytes()))
    recognizer.load_state_dict({name: part.float() for name, part in state.items()})
    return recognizer.eval()


def _coarse(values: Tensor) -> Tensor:
    """Half precision, rounded to seven bits of the mantissa: bfloat16's, which pack better. The
    listener made the same errors in 200 English sentences; Chinese ones were not compared.
    """
    bits = values.half().contiguous().view(torch.int16).to(torch.int32) & 0xFFFF
    rounded = (bits + (1 << DROPPED - 1)) >> DROPPED << DROPPED
    return (
        torch.where(rounded > 0x7FFF, rounded - 0x10000, rounded).to(torch.int16).view(torch.half)
    )


def write_recognizer(recognizer: Recognizer, path: Path) -> None:
    """The weights in half precision, packed, as :func:`load_recognizer` reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    halves = {name: _coarse(part) for name, part in recognizer.state_dict().items()}
    path.write_bytes(lzma.compress(save(halves), filters=HALVES))


def words(text: str, language: Language) -> list[str]:
    """What errors are counted in: words, in Chinese characters."""
    text = written(text, language)
    return list(text) if language == "zh" else text.split()


def word_errors(found: Sequence[str], wanted: Sequence[str]) -> int:
    """Words to insert, to drop and to replace (Levenshtein's distance)."""
    row = list(range(len(wanted) + 1))
    for count, word in enumerate(found, 1):
        before, row = row, [count]
        for place, other in enumerate(wanted, 1):
            row.append(min(before[place] + 1, row[-1] + 1, before[place - 1] + (word != other)))
    return row[-1]


def error_rate(found: Sequence[str], wanted: Sequence[str], language: Language) -> float:
    """Errors over words of all texts together, in percent."""
    pairs = [(words(a, language), words(b, language)) for a, b in zip(found, wanted, strict=True)]
    errors = sum(word_errors(a, b) for a, b in pairs)
    return 100 * errors / max(1, sum(len(b) for _, b in pairs))
