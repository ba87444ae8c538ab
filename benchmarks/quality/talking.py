"""Talks to an engine as a person does: files and words in, words and sound out.

Knows: how the parts of an example become files and a conversation, how a turn is collected.
Does not know: what is right, what is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from PIL import Image as Pillow

from finetune.nano.domain.languages import Language
from finetune.nano.examples.parts import Example, Heard, Part, Seen, Typed, Watched
from finetune.nano.speech.synthesis import HEARD_RATE
from omni.conversation import (
    DEFAULT_SYSTEM_TEXT,
    Audio,
    Conversation,
    Image,
    Message,
    SystemPrompt,
    Text,
    Video,
    VoicePrompt,
)
from omni.conversation import Part as Given
from omni.engine import Engine
from omni.errors import MediaError
from omni.events import EngineEvent, SpeechChunk, TextDelta, TurnEnd, TurnStats
from omni.listening.reference_check import trust
from omni.media.wav import write_wav
from omni.options import READING, TRANSCRIBING

CLIP_QUALITY = "18"  # x264's constant rate factor: what cameras and editors write


class Recorded(Protocol):
    """Something that was said to the model."""

    def waveform(self) -> np.ndarray:
        """float32 (samples,) at 16 kHz."""
        ...


@dataclass(frozen=True, eq=False)
class Answer:
    """What came back: text, sound (float32 (samples,) at 24 kHz, empty if none), the numbers."""

    text: str
    wave: np.ndarray
    stats: TurnStats


class Talker:
    """Somebody with an engine and a folder for the files that are given to it."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._files = 0

    def write(self, conversation: Conversation, seed: int) -> str:
        """The answer in text alone."""
        turn = self._engine.turn(
            conversation, lambda usual: replace(usual, speech=False, seed=seed)
        )
        return collected(turn).text

    def speak(self, conversation: Conversation, seed: int) -> Answer:
        """The answer in text and speech."""
        return collected(
            self._engine.turn(conversation, lambda usual: replace(usual, speech=True, seed=seed))
        )

    def read(self, text: str, seed: int, voice: Path | None = None) -> Answer:
        """A text read aloud, perhaps in the voice of a recording."""
        prompt = trusted(voice) if voice else None
        options = replace(READING, seed=seed)
        return collected(self._engine.read_aloud(text, voice=prompt, options=options))

    def transcribe(self, heard: Recorded, seed: int) -> str:
        """What a recording says; nothing where the engine finds nobody speaking in it."""
        options = replace(TRANSCRIBING, seed=seed)
        try:
            return collected(self._engine.transcribe(self.sound(heard), options=options)).text
        except MediaError as error:
            if error.code != "audio-no-speech":
                raise
            return ""

    def asked(self, example: Example) -> Conversation:
        """The first question of an example, its media as files, after the example's system text."""
        parts = tuple(self.given(part) for part in example.turns[0].parts)
        return conversation(parts, example.language, example.system.text)

    def given(self, part: Part) -> Given:
        """What a person gives for a part of an example.

        Raises:
            TypeError: the part is the assistant's.
        """
        if isinstance(part, Typed):
            return Text(part.text)
        if isinstance(part, Heard):
            return Audio(self.sound(part))
        if isinstance(part, Seen):
            path = self._file("png")
            part.image().save(path)
            return Image(path)
        if isinstance(part, Watched):
            return Video(write_clip(self._file("mp4"), part.frames()))
        raise TypeError(f"nobody gives a {type(part).__name__}")

    def sound(self, heard: Recorded) -> Path:
        """A recording as a file."""
        path = self._file("wav")
        write_wav(path, heard.waveform(), HEARD_RATE)
        return path

    def _file(self, kind: str) -> Path:
        self._files += 1
        return self._folder / f"{self._files:05d}.{kind}"


def conversation(
    parts: Sequence[Given],
    language: Language,
    system: str = DEFAULT_SYSTEM_TEXT,
    voice: Path | None = None,
) -> Conversation:
    """A conversation that begins with these parts."""
    prompt = SystemPrompt(system, trusted(voice) if voice else None)
    return Conversation(prompt, (Message("user", tuple(parts)),), language)


def trusted(voice: Path) -> VoicePrompt:
    """A recording of held-out data as a voice, also a shorter one than people may give."""
    if voice.is_file():
        trust(voice)
    return VoicePrompt(voice)


def collected(turn: Iterable[EngineEvent]) -> Answer:
    """A turn to its end.

    Raises:
        RuntimeError: it has none.
    """
    text, sounds = "", []
    for event in turn:
        if isinstance(event, TextDelta):
            text += event.text
        elif isinstance(event, SpeechChunk):
            sounds.append(event.samples.astype(np.float32) / 32768)
        elif isinstance(event, TurnEnd):
            wave = np.concatenate(sounds) if sounds else np.zeros(0, np.float32)
            return Answer(text, wave, event.stats)
    raise RuntimeError("the turn did not end")


def write_clip(path: Path, frames: Sequence[Pillow.Image]) -> Path:
    """The frames, one a second, as H.264 with halved chroma; odd sizes lose a line."""
    width, height = (side // 2 * 2 for side in frames[0].size)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1, options={"crf": CLIP_QUALITY})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            picture = av.VideoFrame.from_image(frame.crop((0, 0, width, height)))
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path
