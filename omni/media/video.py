"""Clips to the still frames that the model sees: one a second.

Knows: which frames to take, also where the frame rate varies, and how to decode no more than
needed. Does not know: the clip's sound, patches, prompts.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from threading import Event

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image as Pillow

from omni.errors import MediaError
from omni.media.container import duration, ends_early, open_container, picture_stream
from omni.media.limits import Watch, limits

DECODER_THREADS = 2  # each holds frames of its own
DEFAULT_RATE = 25  # frames a second of a bare stream that says nothing
STEADY = 0.5  # frame durations that a steady clip's timestamps may be off

_DECODER_ERRORS = (av.error.FFmpegError, ValueError, RuntimeError)


@dataclass(frozen=True)
class _Timeline:
    """The packets of a clip in the order in which they are shown.

    ``stamps``: in units of the stream's time base; None where the container has none, then frames
    are counted. ``keys``: the stamps at which decoding can start.
    """

    times: tuple[float, ...]  # seconds from the first frame
    stamps: tuple[int, ...] | None
    keys: tuple[int, ...]
    rate: Fraction | None  # average frames a second, as the container says


def iter_frames(
    path: Path | str, max_frames: int, stop: Event | None = None
) -> Iterator[Pillow.Image]:
    """One frame a second, evenly thinned to ``max_frames``, turned as the camera was held.

    A steady clip gives frames 0, n, 2n, ... with n the frame rate rounded to even, as published;
    a clip of varying rate gives what is on screen at each full second. Frames are yielded one by
    one: a clip in 4K does not fill the memory.

    Args:
        stop: when set, the decoding ends.

    Raises:
        MediaError: ``media-missing``, ``media-empty``, ``media-too-large``, ``media-too-slow``,
            ``video-unreadable``, ``video-absent``, ``video-cut-off``, ``video-too-long``,
            ``video-too-large``.
        DecodingStopped: ``stop`` was set.
    """
    name = Path(path).name
    watch = Watch(name, stop)
    count = 0
    try:
        with open_container(path) as container:
            timeline = _timeline(container, _pictures(container, name), name, watch)
            chosen = thin(choose(timeline.times, timeline.rate), max_frames)
        with closing(_Decoder(path, timeline, watch)) as decoder:
            for frame in decoder.frames(chosen):
                count += 1
                yield _picture(frame, name)
    except _DECODER_ERRORS as error:
        raise _unreadable(name) from error
    if not count:
        raise _unreadable(name)


def check_clip(path: Path | str) -> None:
    """Refuse what is no clip, or one that is too long or too large, by its header.

    Raises:
        MediaError: as of :func:`iter_frames`, as far as it tells.
    """
    name = Path(path).name
    try:
        with open_container(path) as container:
            _pictures(container, name)
            _check_length(duration(container) or 0.0, name)
    except _DECODER_ERRORS as error:
        raise _unreadable(name) from error


def choose(times: tuple[float, ...], rate: Fraction | None) -> list[int]:
    """Indices of the frames to show at one frame a second.

    Args:
        times: seconds of each frame, from the first, ascending.
        rate: average frames a second that the container says.
    """
    if rate:
        steady = np.arange(len(times)) / float(rate)
        if np.abs(np.array(times) - steady).max() * float(rate) <= STEADY:
            return list(range(0, len(times), max(1, round(rate))))
    seconds = np.arange(int(times[-1]) + 1)
    on_screen = np.searchsorted(times, seconds + 1e-6, side="right") - 1
    return sorted({int(index) for index in on_screen})


def thin(chosen: list[int], max_frames: int) -> list[int]:
    """At most ``max_frames`` of them, evenly spaced, first and last kept."""
    if len(chosen) <= max_frames:
        return chosen
    return [chosen[i] for i in np.linspace(0, len(chosen) - 1, max_frames, dtype=int)]


def _pictures(container: InputContainer, name: str) -> VideoStream:
    """The clip's stream of pictures, of a size that fits in memory."""
    stream = picture_stream(container)
    if stream is None:
        raise MediaError("video-absent", "{name} has no moving pictures.", name=name)
    _check_size(stream.width, stream.height, name)
    return stream


def _timeline(container: InputContainer, stream: VideoStream, name: str, watch: Watch) -> _Timeline:
    """Read every packet's time without decoding one."""
    _check_length(duration(container) or 0.0, name)
    base = float(stream.time_base or 1)
    end, count = 0.0, 0
    shown: set[int] = set()
    keys: set[int] = set()
    for packet in container.demux():
        watch.check()
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is not None:
            end = max(end, float((stamp + (packet.duration or 0)) * packet.time_base))
            _check_length(end - (stream.start_time or 0) * base, name)
        if packet.stream is not stream or packet.is_discard or not packet.size:
            continue
        count += 1
        if stamp is not None:
            shown.add(stamp)
            if packet.is_keyframe:
                keys.add(stamp)
    if not count:
        raise _unreadable(name)
    if not shown:
        return _Timeline(tuple(i / DEFAULT_RATE for i in range(count)), None, (), None)
    stamps = sorted(shown)
    times = tuple((stamp - stamps[0]) * base for stamp in stamps)
    gap = max((late - early for early, late in pairwise(times)), default=0.0)
    if ends_early(container, end, gap):
        raise MediaError(
            "video-cut-off", "{name} ends too early, it is incomplete: send it again.", name=name
        )
    return _Timeline(times, tuple(stamps), tuple(sorted(keys)), stream.average_rate)


class _Decoder:
    """Decodes chosen frames forwards, jumping to key frames where that saves work.

    A frame that is damaged is replaced by the next that is not. Where the container cannot be
    searched, everything is decoded once.
    """

    def __init__(self, path: Path | str, timeline: _Timeline, watch: Watch) -> None:
        self.path = path
        self._watch = watch
        self.timeline = timeline
        self.position: int | None = None  # stamp of the frame given last
        self._searchable = True
        self._restart()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frames(self, chosen: list[int]) -> Iterator[VideoFrame]:
        """The frames of ascending indices into the timeline."""
        if self.timeline.stamps is None:
            wanted = set(chosen)
            yield from (frame for i, frame in enumerate(self._decoded) if i in wanted)
            return
        for stamp in (self.timeline.stamps[index] for index in chosen):
            if self.position is not None and self.position >= stamp:
                continue  # a damaged frame before it was replaced by this one
            frame = self._jump(stamp) or self._forward(stamp)
            if frame is None:
                return
            yield frame

    def _jump(self, stamp: int) -> VideoFrame | None:
        """The frame by way of the last key frame before it; None where nothing is gained."""
        keys = self.timeline.keys
        before = bisect_right(keys, stamp) - 1
        if not self._searchable or before < 1:
            return None
        if self.position is not None and keys[before] <= self.position:
            return None
        try:
            self._container.seek(keys[before], stream=self._stream)
            self._decoded = self._watched()
            first = next(self._decoded, None)
        except av.error.FFmpegError:
            first = None
        if first is None or first.pts is None or first.pts > stamp:
            self._searchable = False
            self.close()
            self._restart()
            return None
        if first.pts < stamp:
            return None
        self.position = first.pts
        return first

    def _forward(self, stamp: int) -> VideoFrame | None:
        for frame in self._decoded:
            if frame.pts is not None and frame.pts >= stamp:
                self.position = frame.pts
                return frame
        return None

    def _watched(self) -> Iterator[VideoFrame]:
        """What is decoded from here on, without what is too damaged to be decoded."""
        for packet in self._container.demux(self._stream):
            self._watch.check()  # also where no packet gives a frame
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            yield from frames

    def _restart(self) -> None:
        self._container = open_container(self.path)
        self._stream = _pictures(self._container, Path(self.path).name)
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = DECODER_THREADS
        self._decoded = self._watched()


def _picture(frame: VideoFrame, name: str) -> Pillow.Image:
    """RGB, turned by the container's display matrix (degrees counter-clockwise)."""
    _check_size(frame.width, frame.height, name)  # it may change inside a clip
    picture = frame.to_image()
    quarter = round(frame.rotation / 90) % 4
    turns = (None, Pillow.Transpose.ROTATE_90, Pillow.Transpose.ROTATE_180)
    turn = (*turns, Pillow.Transpose.ROTATE_270)[quarter]
    return picture if turn is None else picture.transpose(turn)


def _check_length(seconds: float, name: str) -> None:
    most = limits().seconds
    if seconds > most:
        raise MediaError(
            "video-too-long",
            "{name} is longer than {minutes} minutes: send a shorter part of it.",
            name=name,
            minutes=round(most / 60),
        )


def _check_size(width: int, height: int, name: str) -> None:
    most = limits().clip_pixels
    if width * height > most:
        raise MediaError(
            "video-too-large",
            "{name} has frames of {width} x {height} pixels: send it in 4K or smaller.",
            name=name,
            width=width,
            height=height,
        )


def _unreadable(name: str) -> MediaError:
    return MediaError(
        "video-unreadable",
        "{name} is not a clip that can be read: use mp4, webm, mov or mkv.",
        name=name,
    )
