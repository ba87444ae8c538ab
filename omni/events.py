"""What generation and the engine yield while a turn is being produced.

Knows: plain values (text, numpy arrays, numbers). Does not know: torch, Gradio.
:mod:`omni.generation.loop` yields TextDelta, AudioFrame, SegmentEnd and Finished;
:mod:`omni.engine` yields TextDelta, SpeechChunk, Progress and, last, TurnEnd.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from omni.conversation import Message, Part

SPEECH_RATE = 24_000  # Hz, of every SpeechChunk
FRAMES_PER_SECOND = 12.5  # of audio codes

# end: the model was done; stopped: somebody stopped it; limit: it reached the most that was allowed
FinishReason: TypeAlias = Literal["end", "stopped", "limit"]


@dataclass(frozen=True)
class TextDelta:
    """New text of the assistant, whole characters only."""

    text: str


@dataclass(frozen=True, eq=False)
class AudioFrame:
    """One generated frame of audio codes, int32 (codebooks,); the end frame is never yielded."""

    codes: np.ndarray


@dataclass(frozen=True)
class SegmentEnd:
    """A spoken piece is complete; text or the end of the turn follows."""


@dataclass(frozen=True)
class Finished:
    """The end of generation."""

    reason: FinishReason  # why it ended here
    parts: tuple[Part, ...]  # of the assistant's message, for the history


GenerationEvent: TypeAlias = TextDelta | AudioFrame | SegmentEnd | Finished


@dataclass(frozen=True, eq=False)
class SpeechChunk:
    """Speech to play now: int16 (samples,), mono, SPEECH_RATE."""

    samples: np.ndarray


# wait: others are served first; then the phases of a load in their order; encode: media to model
# inputs. Where weights are quantized, read and quantize take turns and count the same bytes.
# keep: they are quantized and written to the disk, before a load reads them from there.
Stage: TypeAlias = Literal[
    "wait", "check", "download", "keep", "read", "quantize", "warm", "encode"
]
LOADING: tuple[Stage, ...] = ("check", "download", "keep", "read", "quantize", "warm")


@dataclass(frozen=True)
class Progress:
    """Long work under way; told at least twice a second, if need be with the same numbers."""

    stage: Stage  # of ``wait``, the numbers are people
    done: float  # so much of the work is done
    total: float  # so much there is; 0 when unknown
    unit: Literal["bytes", "items"] = "items"  # of both numbers
    left_s: float | None = None  # seconds until this stage is over; None: nobody knows


@dataclass(frozen=True)
class TurnStats:
    """Measured on the engine's clock, in seconds from when the turn was asked for."""

    prompt_tokens: int = 0  # ids that the model reads, media included
    cached_tokens: int = 0  # of the prompt, that the session's last turn had computed
    text_tokens: int = 0  # generated
    audio_frames: int = 0  # generated, 12.5 for a second of speech
    encode_s: float = 0.0  # media to model inputs
    prefill_s: float = 0.0  # the prompt through the language model
    text_s: float = 0.0  # text steps, summed
    audio_s: float = 0.0  # audio steps, summed
    vocode_s: float = 0.0  # codes to sound, summed
    first_text_s: float | None = None  # until the first text; None: there was none
    first_sound_s: float | None = None  # until the first sound; None: there was none
    total_s: float = 0.0  # until the end
    waited_s: float = 0.0  # until the model was loaded and free, and the work began
    speech_s: float = 0.0  # duration of the sound produced
    seed: int = 0  # with which the same turn gives the same answer

    @property
    def real_time_factor(self) -> float | None:
        """Computing time over playing time; None without sound. Waiting is not computing."""
        return (self.total_s - self.waited_s) / self.speech_s if self.speech_s else None

    @property
    def text_tokens_per_s(self) -> float | None:
        """Text tokens a second of text steps; None without text."""
        return self.text_tokens / self.text_s if self.text_s else None


@dataclass(frozen=True)
class MediaNote:
    """What the person should know of a file that was used all the same.

    damaged: a part of its sound could not be decoded, silence stood there; unheard: the sound of a
    clip could not be read, just its pictures were seen. Of a recording whose voice was taken:
    clipped, it was too loud for the microphone; noisy, what is around the voice is nearly as loud;
    two-voices, two people speak.
    """

    kind: Literal["damaged", "unheard", "clipped", "noisy", "two-voices"]
    name: str  # of the file


@dataclass(frozen=True)
class TurnEnd:
    """The last event of a turn."""

    message: Message  # the assistant's, for the history
    reason: FinishReason  # why it ended here
    stats: TurnStats
    forgotten: int = 0  # of the conversation's first messages: the context had no room for them
    media_notes: tuple[MediaNote, ...] = ()  # on the question's files and the voice


EngineEvent: TypeAlias = TextDelta | SpeechChunk | Progress | TurnEnd


def stopped(started: float) -> TurnEnd:
    """The end of a turn that was stopped before anything was made.

    Args:
        started: reading of time.perf_counter when it was asked for.
    """
    stats = TurnStats(total_s=time.perf_counter() - started)
    return TurnEnd(Message("assistant", ()), "stopped", stats)
