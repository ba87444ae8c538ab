"""Turns and phases with a stopwatch: ours and the published way, with the same forced lengths.

Knows: how to run a turn, when its first text and sound came, how fast each phase goes.
Does not know: bounds, tables.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field, replace

import psutil
import torch

from benchmarks.speed.naive import NaiveTurn, published_layout
from benchmarks.speed.wave import some_codes
from omni import devices
from omni.assistant import Assistant
from omni.conversation import Conversation, Message, Text
from omni.events import SPEECH_RATE, SpeechChunk, TextDelta, TurnEnd, TurnStats
from omni.generation.inputs import embed_id
from omni.generation.loop import GenerationLoop, GenerationRun
from omni.loading.load import LoadedModel
from omni.options import GenerationOptions
from omni.prompting.prompt import PromptBuilder
from omni.prompting.slots import Prompt
from omni.requests import TurnRequest

if sys.platform != "win32":
    import resource

TYPED = Conversation(messages=(Message("user", (Text("How far is it to the sea from here?"),)),))


@dataclass(frozen=True)
class Lengths:
    """How long a turn is: text and speech in turn, ``segments`` times."""

    text_tokens: int = 10
    frames: int = 25  # of 80 ms
    segments: int = 2

    def options(self, natural: bool = False) -> GenerationOptions:
        """Options that give these lengths where nothing ends earlier (``natural``: it may)."""
        options = GenerationOptions(seed=0)
        text = replace(options.first_text, max_new=self.text_tokens)
        return replace(
            options,
            first_text=text,
            next_text=text,
            audio=replace(options.audio, max_new=self.frames),
            max_rounds=self.segments,
            next_stops=options.next_stops if natural else (),
        )


@dataclass
class TurnTimes:
    """Seconds from Send."""

    first_text_s: float | None = None
    first_sound_s: float | None = None
    total_s: float = 0.0
    speech_s: float = 0.0  # playing time of the sound
    stall_s: float = 0.0  # silence in which a player that starts at once waits for sound
    stats: TurnStats = field(default_factory=TurnStats)

    def heard(self, now: float, seconds: float) -> None:
        """Notes that ``seconds`` of sound came at ``now``."""
        if self.first_sound_s is None:
            self.first_sound_s = now
        plays_until = self.first_sound_s + self.stall_s + self.speech_s
        self.stall_s += max(0.0, now - plays_until)
        self.speech_s += seconds

    @property
    def real_time_factor(self) -> float | None:
        """Computing time over playing time."""
        return self.total_s / self.speech_s if self.speech_s else None


def our_turn(
    assistant: Assistant, conversation: Conversation, options: GenerationOptions
) -> TurnTimes:
    """A turn as the tabs run it, of somebody who has said nothing before."""
    times = TurnTimes()
    request = TurnRequest(conversation, options)
    start = request.started
    for event in assistant.run(request):
        now = time.perf_counter() - start
        if isinstance(event, TextDelta) and times.first_text_s is None:
            times.first_text_s = now
        elif isinstance(event, SpeechChunk):
            times.heard(now, len(event.samples) / SPEECH_RATE)
        elif isinstance(event, TurnEnd):
            times.stats = event.stats
    times.total_s = time.perf_counter() - start
    return times


def naive_turn(
    loaded: LoadedModel, conversation: Conversation, options: GenerationOptions
) -> TurnTimes:
    """The same turn the published way."""
    with published_layout(loaded.model):
        return _naive_turn(loaded, conversation, options)


def _naive_turn(
    loaded: LoadedModel, conversation: Conversation, options: GenerationOptions
) -> TurnTimes:
    times = TurnTimes()
    start = time.perf_counter()
    for kind, value in NaiveTurn(loaded).run(conversation, options):
        now = time.perf_counter() - start
        if kind == "text" and times.first_text_s is None:
            times.first_text_s = now
        elif kind == "sound":
            times.heard(now, len(value) / SPEECH_RATE)
    times.total_s = time.perf_counter() - start
    return times


def our_text_speed(loaded: LoadedModel, tokens: int, captured: bool = True) -> float:
    """Text tokens a second after the prefill; ``captured``: as CUDA graphs, if possible."""
    options = GenerationOptions(speech=False, seed=0)
    options = replace(options, text_only=replace(options.text_only, max_new=tokens))
    generation = _warm(loaded, _typed(loaded, False), options, captured)
    # The first token is the prefill's.
    return (generation.timings.text_tokens - 1) / generation.timings.text_s


def our_audio_speed(loaded: LoadedModel, frames: int, captured: bool = True) -> float:
    """Audio frames a second, codes alone (decoding them to sound is measured by itself)."""
    options = Lengths(text_tokens=1, frames=frames, segments=1).options()
    generation = _warm(loaded, _typed(loaded, True), options, captured)
    return generation.timings.audio_frames / generation.timings.audio_s


def naive_speeds(loaded: LoadedModel, tokens: int, frames: int) -> tuple[float, float]:
    """Text tokens and audio frames a second the published way."""
    with published_layout(loaded.model):
        return _naive_speeds(loaded, tokens, frames)


def _naive_speeds(loaded: LoadedModel, tokens: int, frames: int) -> tuple[float, float]:
    options = Lengths(text_tokens=tokens, frames=frames).options()
    turn = NaiveTurn(loaded)
    text = turn.text(turn.prompt(TYPED, True), options.first_text)
    next(text)  # with the prefill
    start = time.perf_counter()
    count = sum(1 for _ in text)
    text_speed = count / (time.perf_counter() - start)
    embeds = embed_id(loaded.model, loaded.tokenizer.special.audiogen_start)
    start = time.perf_counter()
    count = sum(1 for _ in turn.frames(embeds, options.audio))
    _settle(loaded)
    return text_speed, count / (time.perf_counter() - start)


def _typed(loaded: LoadedModel, speech: bool) -> Prompt:
    return PromptBuilder(loaded.tokenizer, loaded.config).build(TYPED, speech)


def _warm(
    loaded: LoadedModel, prompt: Prompt, options: GenerationOptions, captured: bool
) -> GenerationRun:
    """A generation that is over; the second of two where the first one captured the steps."""
    loop = GenerationLoop(loaded.model, loaded.tokenizer, capture=captured)
    for _ in range(1 if loop.captured is None else 2):
        generation = loop.run(prompt, options)
        for _ in generation:
            pass
    return generation


def _settle(loaded: LoadedModel) -> None:
    """Wait for the device."""
    if loaded.report.device.startswith("cuda"):
        torch.cuda.synchronize()


def reset_peak(device: str) -> None:
    """Start counting the most memory held (on a GPU; a process's peak cannot be reset)."""
    devices.release()
    if device.startswith("cuda"):
        for index in devices.cuda_devices(device):
            torch.cuda.reset_peak_memory_stats(index)


def peak_bytes(device: str) -> int:
    """The most memory held: allocated on the GPUs, else resident in the process."""
    if device.startswith("cuda"):
        return sum(torch.cuda.max_memory_allocated(i) for i in devices.cuda_devices(device))
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def naive_wave_s(loaded: LoadedModel, seconds: float) -> float:
    """Seconds from codes to wave the published way."""
    codes = some_codes(loaded, seconds)
    turn = NaiveTurn(loaded)
    turn.decode(codes[:2])
    start = time.perf_counter()
    turn.decode(codes)
    return time.perf_counter() - start
