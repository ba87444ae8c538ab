"""Kokoro-82M: symbols and a style vector to a waveform and the length of every symbol.

Knows: its graph, its alphabet, mixing styles. Does not know: languages, which styles exist for
what.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from finetune.nano.teachers import files
from finetune.nano.teachers.phones import MOST, Phones

RATE = 24_000  # Hz
FRAME_S = 0.025  # of the lengths
TIMBRE = 128  # of a style's numbers tell the timbre, the rest lengths and pitch
_EDGE = 0  # the token before and after
Mix = tuple[tuple[str, float], ...]  # styles and their weights


class Session(Protocol):
    """onnxruntime's ``InferenceSession``."""

    def run(
        self, wanted: Sequence[str] | None, given: dict[str, np.ndarray]
    ) -> Sequence[np.ndarray]:
        """The outputs."""
        ...


def session(path: Path) -> Session:
    """A model on one core: whoever makes much speech starts more processes.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise files.missing("the package onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@lru_cache(maxsize=1)
def alphabet() -> dict[str, int]:
    """The numbers of the symbols.

    Raises:
        ResourceError: ``teacher-missing``.
    """
    return json.loads(files.kokoro_symbols().read_text(encoding="utf-8"))["vocab"]


@lru_cache(maxsize=1)
def _session() -> Session:
    return session(files.kokoro_model())


def mixed(styles: dict[str, np.ndarray], mix: Mix, tokens: int) -> np.ndarray:
    """The style vector of a mixture for so many symbols: float32 (1, STYLE_SIZE).

    Weights need not be positive: what points away from a voice is a voice, too.

    Raises:
        ValueError: an unknown style, or weights whose sum is not 1.
    """
    if unknown := {name for name, _ in mix} - set(styles):
        raise ValueError(f"there are no styles {', '.join(sorted(unknown))}")
    if abs(sum(weight for _, weight in mix) - 1) > 1e-3:
        raise ValueError("the weights of a mixture add up to 1")
    row = max(0, min(tokens, len(styles[mix[0][0]])) - 1)
    return sum(np.float32(weight) * styles[name][row] for name, weight in mix)[None]


def say(
    phones: Phones, mix: Mix, speed: float = 1.0, melody: Mix = ()
) -> tuple[np.ndarray, list[float]]:
    """The waveform, float32 (samples,) at RATE, and the seconds of each symbol with both edges.

    Args:
        melody: whose lengths and pitch they are; nobody else's where it is empty.

    Raises:
        ResourceError: ``teacher-missing``.
        ValueError: there is nothing to say or too much, or the mixture makes no sense.
    """
    numbers = alphabet()
    check_size(phones)
    style = mixed(files.styles(), mix, len(phones.symbols))
    if melody:
        other = mixed(files.styles(), melody, len(phones.symbols))
        style = np.concatenate([style[:, :TIMBRE], other[:, TIMBRE:]], axis=1)
    tokens = [_EDGE, *(numbers[symbol] for symbol in phones.symbols), _EDGE]
    given = {
        "tokens": np.array([tokens], np.int64),
        "style": style,
        "speed": np.array([speed], np.float32),
    }
    wave, lengths = _session().run(None, given)
    return wave.reshape(-1), (lengths.reshape(-1) * FRAME_S).tolist()


def check_size(phones: Phones) -> None:
    """
    Raises:
        ValueError: there is nothing to say or too much.
    """
    if not 0 < len(phones.symbols) <= MOST:
        raise ValueError(f"between 1 and {MOST} symbols can be said, not {len(phones.symbols)}")
