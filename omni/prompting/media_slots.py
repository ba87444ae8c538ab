"""Media files to what stands at the pads of a prompt.

Knows: which reader of :mod:`omni.media` takes which kind of file, the checkpoint's sizes, what was
noticed while files were read. Does not know: where in a prompt a slot stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np

from omni.config import OmniConfig
from omni.errors import MediaError
from omni.events import MediaNote
from omni.listening.reference_check import check_reference
from omni.listening.settings import RATE
from omni.listening.speech_found import has_speech
from omni.media.audio import audio_pieces, check_audible, read_sound
from omni.media.image import image_patches, read_image
from omni.media.video import iter_frames
from omni.prompting.slots import AudioSlot, CodesSlot, FrameSlot, ImageSlot


class MediaSlots:
    """Reads files for one checkpoint.

    Every method raises :class:`omni.errors.MediaError` for a file that cannot be used.
    """

    def __init__(self, config: OmniConfig, stop: Event | None = None) -> None:
        """
        Args:
            stop: ends the decoding with :class:`omni.media.limits.DecodingStopped`.
        """
        self.notes: dict[Path, MediaNote] = {}
        self._audio = config.audio
        self._visual = config.visual
        self._video = config.video
        self._stop = stop

    def sound(self, path: Path) -> AudioSlot | CodesSlot:
        """A sound file in which something can be heard; here always to be encoded."""
        samples = self._samples(path, self._audio.sampling_rate)
        return AudioSlot(audio_pieces(samples, self._audio, self._stop))

    def sound_of_clip(self, path: Path) -> AudioSlot | CodesSlot | None:
        """The sound of a clip whose pictures are shown; None, with a note: it cannot be read."""
        try:
            return self.sound(path)
        except MediaError:
            self.notes[path] = MediaNote("unheard", path.name)
            return None

    def check_spoken(self, path: Path) -> None:
        """Refuse a sound file in which nobody speaks: there is nothing to write down.

        Raises:
            MediaError: ``audio-no-speech``.
        """
        if not has_speech(self._samples(path, RATE), self._stop):
            raise MediaError(
                "audio-no-speech",
                "There is no speech in {name} to write down: record someone talking.",
                name=path.name,
            )

    def check_voice(self, path: Path) -> None:
        """Refuse a recording whose voice cannot be taken; note what may be wrong with it.

        Raises:
            VoiceError: as of :func:`omni.listening.reference_check.check_reference`.
        """
        found = check_reference(path, self._stop)
        if found:
            self.notes[path] = MediaNote(found[0], path.name)

    def picture(self, path: Path) -> ImageSlot:
        """A picture."""
        return ImageSlot(image_patches(read_image(path, stop=self._stop), self._visual))

    def frames(self, path: Path) -> Iterator[FrameSlot]:
        """The frames of a clip, decoded one by one as they are taken."""
        for frame in iter_frames(path, self._video.max_frame_num, self._stop):
            yield FrameSlot(image_patches(frame, self._video))

    def _samples(self, path: Path, rate: int) -> np.ndarray:
        sound = read_sound(path, rate, self._stop)
        check_audible(sound.samples, Path(path).name)
        if sound.damaged:
            self.notes[path] = MediaNote("damaged", path.name)
        return sound.samples
