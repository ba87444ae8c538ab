"""Sound files to blocks of samples, by libsndfile or by FFmpeg (PyAV), whichever knows the content.

Knows: which decoder a file's first bytes ask for, damaged packets, headers that lie about sizes.
Does not know: resampling, mixing, who hears it.

A file is known by its content and never by its name. What a player plays is what comes out: two
recordings put together by ``cat``, channels and rates that change inside, and what follows a
damaged packet. A file that is known to lack its end is refused.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from omni.errors import MediaError
from omni.media.bare_frames import is_cut_short
from omni.media.container import (
    ends_early,
    exact_duration,
    has_sound_track,
    open_container,
    sound_stream,
)
from omni.media.limits import Watch, limits
from omni.media.ogg_pages import lacks_pages

BLOCK_VALUES = 1 << 18  # samples of all channels that are decoded at once
LONGEST_GAP_S = 2.0  # of silence in the place of damaged packets
SHORTEST_HOLE_S = 0.1  # on the clock of an Ogg file that lacks pages
_BARE = ("mp3", "aac")  # FFmpeg's names of what has no container
_FIRST_FRAME = 4096  # bytes within which an mp3's first frame lies
_TAGS = (b"ID3", b"TAG")  # of an mp3: a title, no sound
_STREAMED_SIZE = 0x7FF00000  # bytes: a wav's size from here on is a streaming writer's

# A decoder fails in its own ways on a broken file.
DECODER_ERRORS = (soundfile.LibsndfileError, av.error.FFmpegError, ValueError, RuntimeError)
# libsndfile needs the rate of what it takes for headerless samples; TypeError is how it says so.
_SNDFILE_ERRORS = (*DECODER_ERRORS, TypeError)


@dataclass(frozen=True, eq=False)
class SoundBlock:
    """Some samples of a file. ``samples``: float32 (samples, channels); ``rate``: Hz.

    ``damaged``: a packet before it could not be decoded; silence stands for it, as far as its
    length is known.
    """

    samples: np.ndarray
    rate: int
    damaged: bool = False


def sound_blocks(file: Path, watch: Watch) -> Generator[SoundBlock, None, None]:
    """The sound of a file, or of a clip's first sound track, from its beginning to its end.

    Args:
        file: not empty.
        watch: asked between any two blocks.

    Raises:
        MediaError: ``audio-absent``, ``audio-cut-off``, ``audio-too-many-channels``.
        DECODER_ERRORS: nobody knows the content, or nothing of it could be decoded.
    """
    first, second = _libsndfile, _ffmpeg
    if not _is_plain(file):
        first, second = second, first
    begun = False
    try:
        for block in first(file, watch):
            if not begun and not len(block.samples):
                break  # a header that says there is nothing: perhaps it did not know yet
            begun = True
            yield block
        if begun:
            return
    except _SNDFILE_ERRORS:
        if begun:
            raise
    try:
        yield from second(file, watch)
    except TypeError as error:
        raise ValueError("not a sound file") from error


def _is_plain(file: Path) -> bool:
    """Whether a file holds plain or losslessly packed samples, which libsndfile reads best."""
    with file.open("rb") as opened:
        head = opened.read(12)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64"):
        return head[8:12] == b"WAVE"
    return head[:4] in (b"fLaC", b"FORM", b".snd", b"caff", b"riff")


def _libsndfile(file: Path, watch: Watch) -> Iterator[SoundBlock]:
    # By an open file: from a name libsndfile would guess the format by its ending.
    with file.open("rb") as opened, soundfile.SoundFile(opened) as sound:
        check_channels(sound.channels, file.name)
        rate, promised, read = sound.samplerate, sound.frames, 0
        frames = max(1, BLOCK_VALUES // sound.channels)
        while True:
            watch.check()
            block = sound.read(frames, dtype="float32", always_2d=True)
            read += len(block)
            last = len(block) < frames
            # A wav's header may promise more than there is: programs that write into a pipe do
            # not know the length. Then all that is there is heard, as players do.
            yield SoundBlock(block, rate, damaged=last and _wav_lacks_its_end(file, rate))
            if last:
                break
        if sound.format == "FLAC" and read < promised:  # there the number of samples is exact
            raise cut_off(file.name)


def _ffmpeg(file: Path, watch: Watch) -> Iterator[SoundBlock]:
    with open_container(file) as container:
        stream = sound_stream(container)
        if stream is None and has_sound_track(container):
            raise ValueError("a sound track of an unknown codec")
        if stream is None:
            raise MediaError("audio-absent", "{name} has no sound.", name=file.name)
        check_channels(stream.codec_context.channels, file.name)
        track = _Track(file, container, stream, watch)
        for block in track.blocks():
            check_channels(block.samples.shape[1], file.name)
            yield block
        if track.lacks_its_end():
            raise cut_off(file.name)


class _Track:
    """The decoding of one sound track: what cannot be decoded is passed over."""

    def __init__(
        self, file: Path, container: InputContainer, stream: AudioStream, watch: Watch
    ) -> None:
        self._file, self._container, self._stream, self._watch = file, container, stream, watch
        self._damaged = False  # since the last block
        self._first_error: Exception | None = None
        self._lost_s = 0.0  # of sound, since the last block
        self._end_s = 0.0  # of the last packet of any stream
        self._seconds = 0.0  # of sound, decoded
        # Pages that FFmpeg passes over in silence leave at most a hole in the clock.
        self._holes = container.format.name == "ogg" and lacks_pages(file, watch)

    def blocks(self) -> Iterator[SoundBlock]:
        """All that can be decoded."""
        last = b""
        block: SoundBlock | None = None
        for packet in self._container.demux():
            self._watch.check()
            if packet.pts is not None:
                length = packet.duration or 0
                self._end_s = max(self._end_s, float((packet.pts + length) * packet.time_base))
            if packet.stream is not self._stream:
                continue
            last = bytes(packet) or last
            for frame in self._decoded(packet):
                block = self._block(frame)
                yield block
        if block is None and self._first_error is not None:
            raise self._first_error
        if block is not None and self._container.format.name in _BARE and is_cut_short(last):
            yield SoundBlock(block.samples[:0], block.rate, damaged=True)

    def lacks_its_end(self) -> bool:
        """Whether the file ends well before its header says."""
        if ends_early(self._container, self._end_s):
            return True
        return _mp3_lacks_its_end(self._file, self._container, self._seconds)

    def _decoded(self, packet: Packet) -> list[av.AudioFrame]:
        try:
            return list(self._stream.decode(packet))
        except (av.error.FFmpegError, PermissionError) as error:
            if bytes(packet)[:3] in _TAGS:  # the head of a recording that was put behind another
                return []
            self._first_error = self._first_error or error
            self._damaged = True
            length = float((packet.duration or 0) * packet.time_base)
            self._lost_s = min(self._lost_s + length, LONGEST_GAP_S)
            return []

    def _block(self, frame: av.AudioFrame) -> SoundBlock:
        # A resampler for each frame: it only changes the layout in memory and keeps nothing, and
        # rate and channels may change from frame to frame. All channels in one plane: where there
        # is one for each, PyAV counts planes until an empty one, and behind eight there is none.
        parts = av.AudioResampler(format="flt").resample(frame)
        samples = np.concatenate([part.to_ndarray() for part in parts], axis=1)
        samples = samples.reshape(-1, frame.layout.nb_channels)
        rate, damaged = frame.sample_rate, self._damaged
        missing_s = self._missing_s(frame)
        if self._holes and missing_s is not None and missing_s > SHORTEST_HOLE_S:
            damaged, self._lost_s = True, LONGEST_GAP_S
        if damaged:
            # No more than what is missing on the file's own clock.
            lost_s = self._lost_s if missing_s is None else min(self._lost_s, missing_s)
            gap = np.zeros((round(lost_s * rate), samples.shape[1]), np.float32)
            samples = np.concatenate([gap, samples])
            self._damaged, self._lost_s = False, 0.0
        promised = exact_duration(self._container)
        if self._first_error is not None and promised is not None:  # what stands for the damage
            samples = samples[: max(0, round((promised - self._seconds) * rate))]  # adds no time
        damaged |= self._holes and not self._seconds  # whether or not a hole shows
        self._seconds += len(samples) / rate
        return SoundBlock(samples, rate, damaged)

    def _missing_s(self, frame: av.AudioFrame) -> float | None:
        """Sound that should have come before a frame by the file's own clock; None: it has none."""
        if frame.time is None:
            return None
        start = float((self._stream.start_time or 0) * (self._stream.time_base or 0))
        return max(0.0, frame.time - max(start, 0.0) - self._seconds)


def _mp3_lacks_its_end(file: Path, container: InputContainer, seconds: float) -> bool:
    """Whether an mp3 holds well less sound than its encoder wrote into the first frame.

    Without such a note FFmpeg works the duration out from the size of the file, which says nothing.
    """
    if container.format.name != "mp3" or container.duration is None:
        return False
    promised = container.duration / av.time_base
    return seconds < promised - max(0.5, 0.1 * promised) and _notes_its_length(file)


def _notes_its_length(mp3: Path) -> bool:
    """Whether the first frame of an mp3 tells the number of frames (Xing, Info or VBRI)."""
    with mp3.open("rb") as file:
        head = file.read(10)
        tag = 0  # bytes of the ID3 tag before the sound; seven bits of each byte count
        if head[:3] == b"ID3":
            tag = 10 + sum(
                byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)
            )
        file.seek(tag)
        frame = file.read(_FIRST_FRAME)
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))


def _wav_lacks_its_end(file: Path, rate: int) -> bool:
    """Whether a wav file is at least a second shorter than its header plausibly says.

    Sizes that no file can have are what streaming writers put there.
    """
    size = file.stat().st_size
    with file.open("rb") as opened:
        if opened.read(4) != b"RIFF" or len(opened.read(4)) < 4 or opened.read(4) != b"WAVE":
            return False
        second = rate  # bytes of a second, at least
        while len(head := opened.read(8)) == 8:
            kind, length = struct.unpack("<4sI", head)
            if kind == b"fmt " and len(fields := opened.read(12)) == 12:
                (second,) = struct.unpack("<I", fields[8:])
                opened.seek(-12, os.SEEK_CUR)
            if kind == b"data":
                return length < _STREAMED_SIZE and opened.tell() + length > size + second
            opened.seek(length + length % 2, os.SEEK_CUR)
    return False


def check_channels(channels: int, name: str) -> None:
    """Refuse a sound of very many channels, each of which costs memory.

    Raises:
        MediaError: ``audio-too-many-channels``.
    """
    most = limits().channels
    if channels > most:
        raise MediaError(
            "audio-too-many-channels",
            "{name} has {channels} channels, at most {most} can be read: "
            "send it as stereo or mono.",
            name=name,
            channels=channels,
            most=most,
        )


def cut_off(name: str) -> MediaError:
    """The error of a file that lacks its end."""
    return MediaError(
        "audio-cut-off", "{name} ends too early, it is incomplete: send it again.", name=name
    )
