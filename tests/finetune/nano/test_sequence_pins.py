"""The sequences of some examples of every task, pinned: what the model learns from stays the same
however the code that writes it changes.

What is said is a hum as long as its text, and codes are drawn by length alone: so the pins hold
with any espeak-ng and whatever an encoder's rounding.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from collections.abc import Sequence as Ordered
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from finetune.nano.base.checkpoint import nano_config, nano_tokenizer
from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import SPLITS
from finetune.nano.domain.width import LANGUAGES
from finetune.nano.examples.examples import TASKS, example
from finetune.nano.examples.parts import Task
from finetune.nano.examples.sequences import Sequence, SequenceWriter
from finetune.nano.speech import synthesis
from finetune.nano.speech.synthesis import HEARD_RATE, Sound, Utterance
from omni.media.audio import code_lengths

PINS = Path(__file__).with_name("sequence_pins.yaml")
CHARACTER_S = 0.07
_WORD = re.compile(r"[\u4e00-\u9fff]|[A-Za-z0-9']+")


class DrawnCodes:
    """In the place of an audio tokenizer: codes that depend on how long a mel is."""

    config = nano_config().audio

    def encode(self, mels: Ordered[torch.Tensor]) -> list[torch.Tensor]:
        """int64 (codes, codebooks) each."""
        codes = []
        for mel in mels:
            frames = mel.shape[-1]
            rng = np.random.default_rng(frames)
            shape = (code_lengths(frames, self.config)[1], self.config.num_codebooks)
            codes.append(torch.from_numpy(rng.integers(0, self.config.codebook_sizes, shape)))
        return codes


def hum(utterance: Utterance, accent: str | None = None) -> synthesis._Spoken:
    """A tone of the length of the text; each word begins where its letters do."""
    samples = np.arange(round(CHARACTER_S * HEARD_RATE * max(4, len(utterance.text))))
    wave = 0.1 * np.sin(2 * np.pi * 200 * samples / HEARD_RATE)
    words = _WORD.finditer(utterance.text)
    sounds = [Sound(word.start() * CHARACTER_S, "a", word.start()) for word in words]
    end = Sound(len(samples) / HEARD_RATE - 0.1, "_", 0)
    return synthesis._Spoken(HEARD_RATE, wave.astype(np.float32), (*sounds, end))


@pytest.fixture
def pinned_writer(monkeypatch: pytest.MonkeyPatch) -> SequenceWriter:
    """Writes what the pins were made of."""
    monkeypatch.setattr(synthesis, "_native", hum)
    return SequenceWriter(nano_tokenizer(), nano_config(), DrawnCodes())


def contents(sequence: Sequence) -> Iterator[bytes]:
    """Everything in a sequence."""
    for name in ("ids", "text_targets", "sound_targets", "sight_targets", "frame_places"):
        yield np.array(getattr(sequence, name), "<i8").tobytes()
    for name in ("codes", "frame_targets"):
        for array in getattr(sequence, name):
            yield repr(array.shape).encode() + array.astype("<i8").tobytes()
    for name in ("images", "frames"):
        for picture in getattr(sequence, name):
            yield f"{name} {picture.mode} {picture.size}".encode()


def digest(writer: SequenceWriter, task: Task, language: Language) -> str:
    """Of three examples of a task, one of each split."""
    total = hashlib.sha256()
    for number, split in enumerate(SPLITS):
        drawn = example(number, 11, split, task, language=language)
        for part in contents(writer.write(drawn)):
            total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()[:16]


@pytest.mark.parametrize("task", TASKS)
def test_sequences_are_as_they_were(pinned_writer: SequenceWriter, task: Task) -> None:
    pins = yaml.safe_load(PINS.read_text(encoding="utf-8"))
    found = {language: digest(pinned_writer, task, language) for language in LANGUAGES}
    assert found == pins[task]
