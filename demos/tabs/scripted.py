"""What a script gives, as parts of a message.

Knows: which file becomes which part. Does not know: endpoints (demos.api), where files are kept.
"""

from __future__ import annotations

from threading import Event

from demos.tabs.spec import Keep
from demos.tabs.video import has_sound_to_hear
from omni.conversation import Audio, Image, Part, Text, Video, VoicePrompt
from omni.errors import ConversationError


def given_message(
    keep: Keep,
    text: str,
    audio: str | None,
    images: list[str] | None,
    video: str | None,
    stop: Event,
) -> tuple[Part, ...]:
    """The parts of a message: pictures, clip with its sound, sound, text.

    Raises:
        ConversationError: ``nothing-given``.
    """
    parts: list[Part] = [Image(keep(path, "picture")) for path in images or ()]
    if video:
        clip = keep(video, "clip")
        parts.append(Video(clip))
        if has_sound_to_hear(clip, stop):
            parts.append(Audio(clip))
    if audio:
        parts.append(Audio(keep(audio, "sound")))
    if text.strip():
        parts.append(Text(text.strip()))
    if not parts:
        raise ConversationError(
            "nothing-given",
            "There is nothing to answer: type, record or add something first.",
        )
    return tuple(parts)


def given_voice(keep: Keep, voice: str | None, says: str) -> VoicePrompt | None:
    """The recording ``voice`` whose voice to take; an example of speaking if what it ``says`` is
    given.
    """
    if not voice:
        return None
    transcript = says.strip()
    return VoicePrompt(
        keep(voice, "sound"), "example" if transcript else "system", transcript or None
    )
