"""The errors that a person can cause, each with a sentence that says what to do.

Knows: a stable code for each (user interfaces translate by it) and its English sentence.
Does not know: languages other than English, Gradio, tracebacks.
"""

from __future__ import annotations


class OmniError(Exception):
    """Base of every error that is shown to a person.

    ``code`` names the sentence (a user interface looks up its translation under it), ``params``
    fill its placeholders, and ``str(error)`` is the English sentence.
    """

    def __init__(self, code: str, sentence: str, **params: object) -> None:
        super().__init__(sentence.format(**params))
        self.code = code
        self.params = params


class MediaError(OmniError):
    """A file, recording, picture or clip that cannot be used."""


class ConversationError(OmniError):
    """A conversation that cannot be turned into a prompt (nothing said, too long)."""


class CheckpointError(OmniError):
    """A checkpoint that is missing, broken, incomplete or not of this architecture."""


class ResourceError(OmniError):
    """Not enough memory, or a device, dtype or quantization that this machine does not have."""


class BusyError(OmniError):
    """So much is under way already that nothing can join it."""


class CancelledError(OmniError):
    """What somebody waited for was cancelled by somebody who may."""


def gigabytes(size: int) -> str:
    """``size`` bytes in GB (10**9 bytes), one decimal, for a sentence."""
    return f"{size / 1e9:.1f}"


class VoiceError(OmniError):
    """A reference voice, or a collection of voices, that cannot be used."""
