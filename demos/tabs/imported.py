"""What an imported conversation brings is looked at as an upload is.

Knows: which reader knows which kind of medium. Does not know: zips, chats.
"""

from __future__ import annotations

from omni.conversation import Audio, Image, Part, Video
from omni.errors import MediaError


def check_medium(part: Part) -> None:
    """Refuse a file that is not of the kind that the conversation says.

    Raises:
        MediaError: it cannot be read, or is beyond the limits.
    """
    if isinstance(part, Image):
        from omni.media.image import read_image

        read_image(part.path)
    elif isinstance(part, Audio):
        from omni.media.container import has_sound

        if not has_sound(part.path):
            raise MediaError("audio-absent", "{name} has no sound.", name=part.path.name)
    elif isinstance(part, Video):
        from omni.media.container import has_pictures

        if not has_pictures(part.path):
            raise MediaError("video-absent", "{name} has no moving pictures.", name=part.path.name)
