"""Rows asked of an engine, as a person would ask: what came back, and whether it is right.

Knows: the last answer of a row is what is wanted, all before it is asked.
Does not know: which model answers, flags.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from finetune.lora.data.formats import Form
from finetune.lora.data.rows import Row
from finetune.measures.likeness import VoicePrint, is_heard, nearest_voice, voice_print
from finetune.measures.texts import exact
from omni.conversation import Audio, Conversation, Speech, Text
from omni.engine import Engine
from omni.events import SPEECH_RATE, EngineEvent, SpeechChunk, TextDelta, TurnEnd
from omni.media.audio import read_sound
from omni.options import READING, TRANSCRIBING


@dataclass(frozen=True)
class Wanted:
    """What a row asks for."""

    name: str  # the row's
    form: Form
    question: Conversation  # of the form "reading": with the answer that is to be read
    text: str  # the right answer
    sounds: tuple[Path, ...]  # how it is to be said; none: it is only written

    @property
    def speech(self) -> bool:
        """Whether it is to be spoken."""
        return bool(self.sounds)


@dataclass(frozen=True, eq=False)
class Found:
    """What an engine answered."""

    text: str
    right: bool
    wave: np.ndarray  # float32 (samples,) at 24 kHz; empty: it did not speak


def wanted(row: Row) -> Wanted:
    """The last answer of a row, and the question before it."""
    said = row.conversation
    *before, answer = said.messages
    texts = [part.text for part in answer.parts if isinstance(part, Text)]
    sounds = [part.path for part in answer.parts if isinstance(part, Speech) and part.path]
    question = said if row.form == "reading" else replace(said, messages=tuple(before))
    return Wanted(row.name, row.form, question, "".join(texts), tuple(sounds))


def ask(engine: Engine, asked: Wanted, seed: int) -> Found:
    """One answer; the checkpoint's own options, and a fixed seed."""
    text, wave = collected(_turn(engine, asked, seed))
    return Found(text, exact(text, asked.text), wave)


def _turn(engine: Engine, asked: Wanted, seed: int) -> Iterable[EngineEvent]:
    """The row as its form is asked for: in a chat, to be written down, to be read aloud."""
    if asked.form == "transcription":
        heard = asked.question.messages[0].parts[0]
        assert isinstance(heard, Audio)
        return engine.transcribe(heard.path, options=replace(TRANSCRIBING, seed=seed))
    if asked.form == "reading":
        voice = asked.question.system.voice
        return engine.read_aloud(asked.text, voice=voice, options=replace(READING, seed=seed))
    return engine.turn(asked.question, lambda usual: replace(usual, speech=asked.speech, seed=seed))


def collected(turn: Iterable[EngineEvent]) -> tuple[str, np.ndarray]:
    """A turn to its end: text, and sound, float32 (samples,) at 24 kHz.

    Raises:
        RuntimeError: it has no end.
    """
    text, sounds = "", []
    for event in turn:
        if isinstance(event, TextDelta):
            text += event.text
        elif isinstance(event, SpeechChunk):
            sounds.append(event.samples.astype(np.float32) / 32768)
        elif isinstance(event, TurnEnd):
            return text, np.concatenate(sounds) if sounds else np.zeros(0, np.float32)
    raise RuntimeError("the turn did not end")


def print_of(sounds: Sequence[Path]) -> VoicePrint:
    """The voice of recordings of one person."""
    return voice_print(np.concatenate([read_sound(path, SPEECH_RATE).samples for path in sounds]))


def heard_as(wave: np.ndarray, known: Sequence[VoicePrint]) -> int | None:
    """The number of the nearest voice; None where nothing is heard."""
    return nearest_voice(voice_print(wave), known) if is_heard(wave) else None
