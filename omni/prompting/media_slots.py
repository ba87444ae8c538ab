"""Media files to what stands at the pads of a prompt.

Knows: which reader of :mod:`omni.media` takes which kind of file, the checkpoint's sizes.
Does not know: where in a prompt a slot stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omni.config import OmniConfig
from omni.media.audio import audio_pieces, check_audible, read_waveform
from omni.media.image import image_patches, read_image
from omni.media.video import iter_frames
from omni.prompting.slots import AudioSlot, FrameSlot, ImageSlot


class MediaSlots:
    """Reads files for one checkpoint.

    Every method raises :class:`omni.errors.MediaError` for a file that cannot be used.
    """

    def __init__(self, config: OmniConfig) -> None:
        self._audio = config.audio
        self._visual = config.visual
        self._video = config.video

    def sound(self, path: Path) -> AudioSlot:
        """A sound file in which something can be heard."""
        waveform = read_waveform(path, self._audio.sampling_rate)
        check_audible(waveform, Path(path).name)
        return AudioSlot(audio_pieces(waveform, self._audio))

    def picture(self, path: Path) -> ImageSlot:
        """A picture."""
        return ImageSlot(image_patches(read_image(path), self._visual))

    def frames(self, path: Path) -> Iterator[FrameSlot]:
        """The frames of a clip, decoded one by one as they are taken."""
        for frame in iter_frames(path, self._video.max_frame_num):
            yield FrameSlot(image_patches(frame, self._video))
