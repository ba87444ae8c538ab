"""Codes to sound, whole segments: how long it takes in each dtype, and what the dtype costs.

Knows: how to run the parts between codes and mel in another dtype for a while.
Does not know: streaming, bounds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from omni.events import FRAMES_PER_SECOND
from omni.loading.load import LoadedModel
from omni.model.audio.audio_tokenizer import AudioTokenizer
from omni.model.audio.flow import FlowOptions

ERROR_ALLOWED = 0.03  # relative L2 of the mel to float32's
PROBE_S = 1.0  # of sound, decoded first; also warms up
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class WaveTime:
    """One way to decode the same codes."""

    dtype: str
    seconds: float  # of sound; fewer than asked where these took longer than float32 for all
    steps: int  # of the flow
    mel_s: float
    vocoder_s: float
    error: float  # relative L2 of the mel to that of float32 and all steps

    @property
    def total_s(self) -> float:
        """Codes to wave."""
        return self.mel_s + self.vocoder_s


@contextmanager
def decoding_in(tokenizer: AudioTokenizer, dtype: torch.dtype) -> Iterator[None]:
    """Codes to mel in ``dtype``; the weights are put back as they were."""
    parts = tokenizer.decoding_parts()
    tensors = [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]
    kept = [tensor.data for tensor in tensors]
    for tensor in tensors:
        tensor.data = tensor.data.to(dtype)
    try:
        yield
    finally:
        for tensor, data in zip(tensors, kept, strict=True):
            tensor.data = data


def some_codes(loaded: LoadedModel, seconds: float) -> Tensor:
    """Random codes (frames, codebooks), the same every time."""
    source = torch.Generator().manual_seed(1)
    frames = round(seconds * FRAMES_PER_SECOND)
    sizes = loaded.config.audio.codebook_sizes
    return torch.stack([torch.randint(size, (frames,), generator=source) for size in sizes], dim=1)


def some_noise(loaded: LoadedModel, frames: int) -> Tensor:
    """The flow's noise (1, frames, mel bins), the same every time."""
    source = torch.Generator().manual_seed(2)
    return torch.randn(1, frames, loaded.config.flow.in_channels, generator=source)


@torch.inference_mode()
def decode_once(
    loaded: LoadedModel, codes: Tensor, options: FlowOptions
) -> tuple[Tensor, float, float]:
    """The mel (frames, bins), float32 on the CPU; seconds to it, and from it to the wave."""
    tokenizer = loaded.model.audio_tokenizer
    frames = tokenizer.audio_decoder.dconv1.output_length(len(codes))
    noise = some_noise(loaded, frames)
    start = time.perf_counter()
    mel, _ = tokenizer.decode(codes, noise=noise, options=options)
    result = mel[0].float().cpu()
    middle = time.perf_counter()
    loaded.vocoder(mel.to(loaded.vocoder.device, loaded.vocoder.dtype).transpose(1, 2)).cpu()
    return result, middle - start, time.perf_counter() - middle


def relative_error(mel: Tensor, reference: Tensor) -> float:
    """|mel - reference| / |reference|, L2."""
    return ((mel - reference).norm() / reference.norm()).item()


def wave_times(
    loaded: LoadedModel,
    seconds: float,
    dtypes: tuple[torch.dtype, ...] = DTYPES,
    steps: tuple[int, ...] = (),
) -> list[WaveTime]:
    """Every dtype with all steps, then float32 with each of ``steps``.

    A dtype that is slower on the first part of the sound than float32 is on all of it is left at
    that part: some CPUs take minutes for what has lost already.
    """
    tokenizer = loaded.model.audio_tokenizer
    every = tokenizer.audio_flow_matching_decoder.steps
    short = min(PROBE_S, seconds)
    runs = [(dtype, every) for dtype in (torch.float32, *dtypes[1:])]
    runs += [(torch.float32, count) for count in steps if count != every]
    references: dict[float, Tensor] = {}
    times: list[WaveTime] = []
    for dtype, count in runs:
        for length in (short, seconds):
            codes = some_codes(loaded, length)
            with decoding_in(tokenizer, dtype):
                mel, mel_s, vocoder_s = decode_once(loaded, codes, FlowOptions(steps=count))
            reference = references.setdefault(length, mel)
            name = str(dtype).removeprefix("torch.")
            error = relative_error(mel, reference)
            time = WaveTime(name, length, count, mel_s, vocoder_s, error)
            if times and time.total_s > times[0].total_s:
                break
        times.append(time)
    return times


def best(times: list[WaveTime]) -> WaveTime:
    """The fastest with all steps and all of the sound whose mel stays within the error allowed."""
    whole = [t for t in times if (t.steps, t.seconds) == (times[0].steps, times[0].seconds)]
    allowed = [t for t in whole if t.error <= ERROR_ALLOWED]
    return min(allowed, key=lambda t: t.total_s)
