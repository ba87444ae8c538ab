"""Sound files to what the audio encoder reads.

Knows: decoding, resampling, down-mixing, cutting into 30 s pieces.
Does not know: the model that hears them, prompts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr
import torch

from omni.config import AudioConfig
from omni.errors import MediaError
from omni.media.container import ends_early, open_container, sound_stream
from omni.media.files import readable_file
from omni.media.mel import log_mel, mel_frames

MODEL_RATE = 16_000  # Hz
MIN_SAMPLES = 960  # at MODEL_RATE (0.06 s): shorter sound gives no code
MAX_SECONDS = 30 * 60  # 22,500 codes, already more than most contexts
BLOCK_SAMPLES = 1 << 18  # decoded at once, so that long files need little memory
SILENCE = 1e-4  # half of peak to peak (-80 dB, three steps of 16 bits): nothing was recorded
_UNKNOWN_SIZES = {0, 0x7FFFFFFF, 0xFFFFFFFF}  # that streaming writers leave in a wav header

# A decoder fails in its own ways on a broken file.
_DECODER_ERRORS = (soundfile.LibsndfileError, av.error.FFmpegError, ValueError, RuntimeError)


@dataclass(frozen=True, eq=False)
class AudioPiece:
    """At most 30 s of sound, as the audio encoder takes it.

    ``mel``: float32 (num_mel_bins, frames); ``encoder_length``: encoder frames (50 a second);
    ``bridge_length``: codes (12.5 a second), at least 1.
    """

    mel: torch.Tensor
    encoder_length: int
    bridge_length: int


def read_waveform(path: Path | str, rate: int = MODEL_RATE) -> np.ndarray:
    """Decode a sound file, or the sound track of a clip, to one channel.

    Resampled by soxr HQ, then the mean over all channels. (The published code refuses more than
    two; phones and screen recorders make such files, and their mean is what can be heard.)

    Args:
        path: wav, flac, ogg, opus, mp3, m4a, aac, webm, mp4, mkv, ...
        rate: Hz of the result.

    Returns:
        float32 (samples,), full scale 1.

    Raises:
        MediaError: ``media-missing``, ``media-empty``, ``audio-unreadable``, ``audio-absent``,
            ``audio-cut-off``, ``audio-broken``, ``audio-too-short``, ``audio-too-long``.
    """
    file = readable_file(path)
    try:
        try:
            waveform = _mono(_soundfile_blocks(file), rate, file.name)
        except _DECODER_ERRORS:
            waveform = _mono(_container_blocks(file), rate, file.name)
    except _DECODER_ERRORS as error:
        raise MediaError(
            "audio-unreadable",
            "{name} could not be read as sound, it is broken or something else: "
            "use wav, mp3, flac, ogg, m4a or webm.",
            name=file.name,
        ) from error
    if waveform.size * MODEL_RATE < MIN_SAMPLES * rate:
        raise MediaError(
            "audio-too-short", "{name} is too short to hear: record it again.", name=file.name
        )
    return waveform


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


def audio_pieces(waveform: np.ndarray, config: AudioConfig) -> list[AudioPiece]:
    """Cut sound into pieces of ``max_audio_seconds`` and compute their log-mel.

    A rest of fewer than ``n_fft`` samples and pieces too short for a code are dropped, so the
    list is empty for sound shorter than :data:`MIN_SAMPLES`.

    Args:
        waveform: float32 (samples,) at ``config.sampling_rate``.
    """
    samples = torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32))
    pieces = []
    for start, length in split_lengths(samples.numel(), config):
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


def _mono(blocks: Iterator[tuple[int, np.ndarray]], rate: int, name: str) -> np.ndarray:
    """Resample blocks of (source rate, float32 (samples, channels)) and mix them down."""
    mixed = []
    resampler: soxr.ResampleStream | None = None
    channels, total, source_rate = 1, 0, rate
    for source_rate, block in blocks:
        total += len(block)
        _check_block(block, total / source_rate, name)
        if source_rate != rate:
            if resampler is None:
                channels = block.shape[1]
                resampler = soxr.ResampleStream(source_rate, rate, channels, quality="HQ")
            block = resampler.resample_chunk(np.ascontiguousarray(block))
        mixed.append(block.mean(axis=1, dtype=np.float32))
    if resampler is not None:
        rest = resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True)
        mixed.append(rest.mean(axis=1, dtype=np.float32))
    waveform = np.concatenate(mixed) if mixed else np.zeros(0, np.float32)
    # soxr rounds the length, the published code rounds it up: one sample can be one code.
    length = -(-total * rate // source_rate)
    return np.pad(waveform[:length], (0, max(0, length - waveform.size)))


def _check_block(block: np.ndarray, seconds: float, name: str) -> None:
    if seconds > MAX_SECONDS:
        raise MediaError(
            "audio-too-long",
            "{name} is longer than {minutes} minutes: send a shorter part of it.",
            name=name,
            minutes=MAX_SECONDS // 60,
        )
    if not np.isfinite(block).all():
        raise MediaError(
            "audio-broken", "{name} holds values that are no sound: record it again.", name=name
        )


def _soundfile_blocks(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """(rate, float32 (samples, channels)) of what libsndfile reads."""
    with soundfile.SoundFile(path) as sound:
        rate, promised, read = sound.samplerate, sound.frames, 0
        while True:
            block = sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)
            read += len(block)
            if len(block) < BLOCK_SAMPLES:
                break
            yield rate, block
        yield rate, block
        cut = sound.format == "FLAC" and read < promised
    if cut or _wav_ends_early(path):
        raise _cut_off(path.name)


def _wav_ends_early(path: Path) -> bool:
    """Whether a wav file is shorter than its header says."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"RIFF" or len(file.read(4)) < 4 or file.read(4) != b"WAVE":
            return False
        while len(head := file.read(8)) == 8:
            kind, length = struct.unpack("<4sI", head)
            if kind == b"data":
                return length not in _UNKNOWN_SIZES and file.tell() + length > size
            file.seek(length + length % 2, 1)
    return False


def _container_blocks(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """(rate, float32 (samples, channels)) of what PyAV reads."""
    with open_container(path) as container:
        stream = sound_stream(container)
        if stream is None:
            raise MediaError("audio-absent", "{name} has no sound.", name=path.name)
        resampler = av.AudioResampler(format="fltp")
        end = 0.0
        for packet in container.demux():
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream is not stream:
                continue
            for frame in stream.decode(packet):
                for part in resampler.resample(frame):
                    yield part.sample_rate, part.to_ndarray().T
        for part in resampler.resample(None):
            yield part.sample_rate, part.to_ndarray().T
        if ends_early(container, end):
            raise _cut_off(path.name)


def _cut_off(name: str) -> MediaError:
    return MediaError(
        "audio-cut-off", "{name} ends too early, it is incomplete: send it again.", name=name
    )
