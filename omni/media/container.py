"""Media containers (mp4, webm, mkv, m4a, ...) opened with PyAV.

Knows: which formats are allowed, which streams there are, how long they say they are.
Does not know: what becomes of the frames.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from omni.errors import MediaError
from omni.media.files import readable_file

# Self-contained formats only: a playlist (m3u8, concat, sdp, dash, ...) could make the decoder open
# other files of this machine or addresses on its network.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,ogg,mp3,aac,flac,wav,w64,aiff,au,caf,amr,asf,flv,"
    "mpeg,mpegts,mpegvideo,mpjpeg,mjpeg,h264,hevc,m4v,gif,ac3,eac3,wv,ape"
)
# Formats whose header says exactly how long they are.
_EXACT_DURATION = {"mov", "matroska", "flac"}


def open_container(path: Path | str) -> InputContainer:
    """The opened container; close it (``with``).

    Raises:
        MediaError: the file is missing or empty.
        av.error.FFmpegError: not a container of :data:`FORMATS`, or broken.
    """
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    return av.open(str(readable_file(path)), options=options, metadata_errors="replace")


def sound_stream(container: InputContainer) -> AudioStream | None:
    """The first sound stream that can be decoded."""
    return next((s for s in container.streams.audio if s.codec_context is not None), None)


def has_sound_track(container: InputContainer) -> bool:
    """Whether there is a sound track, also one that cannot be decoded."""
    return any(stream.type == "audio" for stream in container.streams)


def picture_stream(container: InputContainer) -> VideoStream | None:
    """The first stream of moving pictures; a cover picture of a song is none."""
    for stream in container.streams.video:
        cover = stream.disposition & av.stream.Disposition.attached_pic
        if stream.codec_context is not None and not cover:
            return stream
    return None


def has_sound(path: Path | str) -> bool:
    """Whether a file (also a clip) has a sound track, as its header says.

    Raises:
        MediaError: ``media-missing``, ``media-empty``, ``media-too-large`` or
            ``media-unreadable``.
    """
    return _has(path, has_sound_track)


def has_pictures(path: Path | str) -> bool:
    """Whether a file is a clip with moving pictures, as its header says; raises the same."""
    return _has(path, lambda container: picture_stream(container) is not None)


def _has(path: Path | str, has: Callable[[InputContainer], bool]) -> bool:
    try:
        with open_container(path) as container:
            return has(container)
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(
            "media-unreadable",
            "{name} could not be read: choose another file.",
            name=Path(path).name,
        ) from error


def duration(container: InputContainer) -> float | None:
    """Seconds, as the header says; None where it does not."""
    return None if container.duration is None else container.duration / av.time_base


def exact_duration(container: InputContainer) -> float | None:
    """Seconds, where the format's header says exactly how long the file is."""
    return duration(container) if _EXACT_DURATION & set(container.format.name.split(",")) else None


def ends_early(container: InputContainer, end_s: float, gap_s: float = 0.0) -> bool:
    """Whether the last packet ends well before the header says, so that the file is incomplete.

    ``end_s``: end of the last packet of any stream; ``gap_s``: longest time between two packets.
    """
    promised = exact_duration(container)
    if promised is None:
        return False
    return end_s < promised - max(0.5, 0.1 * promised, gap_s)
