"""Sound files to what the audio encoder reads.

Knows: decoding, resampling, down-mixing, cutting into 30 s pieces.
Does not know: the model that hears them, prompts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from threading import Event

import numpy as np
import soxr
import torch

from omni.config import AudioConfig
from omni.errors import MediaError
from omni.media.files import readable_file
from omni.media.limits import DecodingStopped, Watch, limits
from omni.media.mel import log_mel, mel_frames
from omni.media.sound_blocks import DECODER_ERRORS, SoundBlock, sound_blocks

MODEL_RATE = 16_000  # Hz
MIN_SAMPLES = 960  # at MODEL_RATE (0.06 s): shorter sound gives no code
SILENCE = 1e-4  # half of peak to peak (-80 dB, three steps of 16 bits): nothing was recorded
LOUDEST = 100.0  # 40 dB above full scale: no recording, but numbers that mean something else
CANCELLED = (
    1e-3  # energy of the mean beside the loudest channel's, below which they cancel (-30 dB)
)


@dataclass(frozen=True, eq=False)
class Sound:
    """A decoded file. ``samples``: float32 (samples,), full scale 1.

    ``damaged``: something of it could not be decoded; silence stands there, or it ends early.
    """

    samples: np.ndarray
    damaged: bool = False


@dataclass(frozen=True, eq=False)
class AudioPiece:
    """At most 30 s of sound, as the audio encoder takes it.

    ``mel``: float32 (num_mel_bins, frames); ``encoder_length``: encoder frames (50 a second);
    ``bridge_length``: codes (12.5 a second), at least 1.
    """

    mel: torch.Tensor
    encoder_length: int
    bridge_length: int


def read_sound(
    path: Path | str,
    rate: int = MODEL_RATE,
    stop: Event | None = None,
    most_s: float | None = None,
) -> Sound:
    """Decode a sound file, or the sound track of a clip, to one channel.

    Resampled by soxr HQ, then the mean over all channels. (The published code refuses more than
    two; phones and screen recorders make such files, and their mean is what can be heard.) Where
    the channels put each other out, the loudest of them is taken.

    Args:
        path: wav, flac, ogg, opus, mp3, m4a, aac, webm, mp4, mkv, ...; known by its content.
        rate: Hz of the result.
        stop: when set, the decoding ends.
        most_s: seconds beyond which it is too long; None, or more than the limits: these.

    Raises:
        MediaError: ``media-missing``, ``media-empty``, ``media-too-large``, ``media-too-slow``,
            ``audio-unreadable``, ``audio-absent``, ``audio-cut-off``, ``audio-broken``,
            ``audio-too-short``, ``audio-too-long``, ``audio-too-many-channels``.
        DecodingStopped: ``stop`` was set.
    """
    file = readable_file(path)
    with _told(file.name):
        longest = min(limits().seconds, limits().seconds if most_s is None else most_s)
        sound = _waveform(file, rate, Watch(file.name, stop), longest)
    if sound.samples.size * MODEL_RATE < MIN_SAMPLES * rate:
        raise MediaError(
            "audio-too-short", "{name} is too short to hear: record it again.", name=file.name
        )
    return sound


def check_sound(path: Path | str, stop: Event | None = None) -> None:
    """Refuse what is no sound, or of too many channels, by its first samples.

    Raises:
        MediaError: as of :func:`read_sound`, as far as they tell.
        DecodingStopped: ``stop`` was set.
    """
    file = readable_file(path)
    with _told(file.name), closing(sound_blocks(file, Watch(file.name, stop))) as blocks:
        next(blocks, None)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What a decoder says of the file called ``name`` as a sentence."""
    try:
        yield
    except DECODER_ERRORS as error:
        raise MediaError(
            "audio-unreadable",
            "{name} could not be read as sound, it is broken or something else: "
            "use wav, mp3, flac, ogg, m4a or webm.",
            name=name,
        ) from error


def read_waveform(path: Path | str, rate: int = MODEL_RATE) -> np.ndarray:
    """The samples of :func:`read_sound`, float32 (samples,)."""
    return read_sound(path, rate).samples


def check_audible(waveform: np.ndarray, name: str) -> None:
    """Refuse a recording in which there is nothing but silence (a muted microphone).

    Raises:
        MediaError: ``audio-silent``.
    """
    if waveform.size == 0 or float(np.ptp(waveform)) / 2 < SILENCE:
        raise MediaError(
            "audio-silent",
            "I could not hear anything in {name}: check the microphone and record it again.",
            name=name,
        )


def audio_pieces(
    waveform: np.ndarray, config: AudioConfig, stop: Event | None = None
) -> list[AudioPiece]:
    """Cut sound into pieces of ``max_audio_seconds`` and compute their log-mel.

    A rest of fewer than ``n_fft`` samples and pieces too short for a code are dropped, so the
    list is empty for sound shorter than :data:`MIN_SAMPLES`.

    Args:
        waveform: float32 (samples,) at ``config.sampling_rate``.
        stop: when set, the work ends.

    Raises:
        DecodingStopped: ``stop`` was set.
    """
    samples = torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32))
    pieces = []
    for start, length in split_lengths(samples.numel(), config):
        if stop is not None and stop.is_set():
            raise DecodingStopped
        encoder_length, bridge_length = code_lengths(mel_frames(length, config), config)
        if bridge_length:
            mel = log_mel(samples[start : start + length], config)
            pieces.append(AudioPiece(mel, encoder_length, bridge_length))
    return pieces


def split_lengths(samples: int, config: AudioConfig) -> list[tuple[int, int]]:
    """(start, length) in samples of each piece of a recording."""
    longest = config.max_audio_seconds * config.sampling_rate
    if samples <= longest:
        return [(0, samples)]
    starts = range(0, samples, longest)
    pieces = [(start, min(longest, samples - start)) for start in starts]
    return [(start, length) for start, length in pieces if length >= config.n_fft]


def code_lengths(frames: int, config: AudioConfig) -> tuple[int, int]:
    """Encoder frames and codes of a piece of ``frames`` mel frames."""
    padding = 1  # of both convolutions; the first keeps the length
    first = frames + 2 * padding - config.kernel_size + 1
    encoder_length = (first + 2 * padding - config.kernel_size) // config.stride_size + 1
    return encoder_length, encoder_length // config.avg_pooler


def _waveform(file: Path, rate: int, watch: Watch, longest_s: float) -> Sound:
    """Decoded, resampled and mixed down."""
    mixer = _Mixer(rate, file.name, longest_s)
    mixer.add(sound_blocks(file, watch))
    if mixer.cancels:  # a cable with one pole swapped: the mean of the channels is silence
        mixer = _Mixer(rate, file.name, longest_s, mixer.loudest)
        mixer.add(sound_blocks(file, watch))
    return Sound(mixer.waveform(), mixer.damaged)


class _Mixer:
    """Resamples blocks and mixes their channels down, or takes one of them."""

    def __init__(self, rate: int, name: str, longest_s: float, channel: int | None = None) -> None:
        """
        Args:
            longest_s: seconds beyond which it is refused.
            channel: the one to take; None: the mean of all.
        """
        self.damaged = False
        self._rate, self._name, self._channel = rate, name, channel
        self._longest_s = longest_s
        self._mixed: list[np.ndarray] = []
        self._seconds = 0.0
        self._energy = 0.0  # of the mean
        self._energies = np.zeros(1)  # of each channel

    @property
    def loudest(self) -> int:
        """The channel that holds most."""
        return int(self._energies.argmax())

    @property
    def cancels(self) -> bool:
        """Whether the channels put each other out."""
        return self._channel is None and self._energy < CANCELLED * float(self._energies.max())

    def waveform(self) -> np.ndarray:
        """float32 (samples,)."""
        return np.concatenate(self._mixed) if self._mixed else np.zeros(0, np.float32)

    def add(self, blocks: Iterator[SoundBlock]) -> None:
        """All blocks; the rate and the number of channels may change between them."""
        for (rate, channels), some in groupby(blocks, _form):
            self._add_run(some, rate, channels)

    def _add_run(self, blocks: Iterator[SoundBlock], rate: int, channels: int) -> None:
        """Blocks of one rate and number of channels."""
        stream = None
        if rate != self._rate:
            stream = soxr.ResampleStream(rate, self._rate, channels, quality="HQ")
        total, before, first = 0, sum(map(len, self._mixed)), len(self._mixed)
        for block in blocks:
            samples = block.samples
            total += len(samples)
            self.damaged |= block.damaged
            self._check(samples, total / rate)
            if stream is not None:
                samples = stream.resample_chunk(np.ascontiguousarray(samples))
            self._mix(samples)
        if stream is not None:
            self._mix(stream.resample_chunk(np.zeros((0, channels), np.float32), last=True))
        self._seconds += total / rate
        # soxr rounds the length, the published code rounds it up: one sample can be one code.
        length = -(-total * self._rate // rate)
        run = np.concatenate([*self._mixed[first:], np.zeros(0, np.float32)])
        missing = max(0, length - (sum(map(len, self._mixed)) - before))
        self._mixed[first:] = [np.pad(run[:length], (0, missing))]

    def _mix(self, samples: np.ndarray) -> None:
        mean = samples.mean(axis=1, dtype=np.float32)
        self._energy += float(np.square(mean, dtype=np.float64).sum())
        energies = np.square(samples, dtype=np.float64).sum(axis=0)
        width = max(len(energies), len(self._energies))
        self._energies = _widened(self._energies, width) + _widened(energies, width)
        if self._channel is None:
            self._mixed.append(mean)
        else:
            taken = min(self._channel, samples.shape[1] - 1)
            self._mixed.append(np.ascontiguousarray(samples[:, taken]))

    def _check(self, samples: np.ndarray, seconds: float) -> None:
        most = self._longest_s
        if self._seconds + seconds > most:
            raise MediaError(
                "audio-too-long",
                "{name} is longer than {minutes} minutes: send a shorter part of it.",
                name=self._name,
                minutes=round(most / 60),
            )
        if not np.isfinite(samples).all() or (samples.size and np.abs(samples).max() > LOUDEST):
            raise MediaError(
                "audio-broken",
                "{name} holds values that are no sound: record it again.",
                name=self._name,
            )


def _form(block: SoundBlock) -> tuple[int, int]:
    return block.rate, block.samples.shape[1]


def _widened(values: np.ndarray, width: int) -> np.ndarray:
    return np.pad(values, (0, width - len(values)))
