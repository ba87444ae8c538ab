"""Voices by name, for a reading with several of them.

Knows: which voices a person has: the ready ones and those that they saved. Does not know: how such
a text is written (omni.prompting.script), how it is read.
"""

from __future__ import annotations

from collections.abc import Iterable

import gradio as gr

from demos.base.owner import Owner
from demos.turns.sessions import Session
from demos.voices.library import VoiceLibrary
from omni.conversation import DEFAULT_SYSTEM_TEXT, SystemPrompt, VoicePrompt
from omni.listening.gallery import gallery, ready_voices
from omni.listening.reference_check import trust
from omni.prompting.script import is_script, script_lines
from omni.requests import ReadLine


def library_of(
    request: gr.Request, session: Session, library: VoiceLibrary | None, owner: Owner
) -> VoiceLibrary:
    """Where a person's saved voices are: the owner's ``library``, or their session's own."""
    if library is not None and owner.has_voices(request):
        return library
    return VoiceLibrary(session.folder / "voices")


def known_names(library: VoiceLibrary, language: str) -> list[str]:
    """The names that a person is told: their own, and the ready ones in the page's language."""
    ready = [voice.name.get(language) or voice.name["en"] for voice in gallery()]
    return [*library.names(), *ready]


def has_lines(text: str, library: VoiceLibrary) -> bool:
    """Whether a line of ``text`` begins with the name of a voice."""
    return is_script(text, [*library.names(), *ready_voices()])


def lines_of(
    text: str, library: VoiceLibrary, language: str, rest: SystemPrompt
) -> tuple[ReadLine, ...]:
    """The lines of a reading with several voices.

    Args:
        rest: how lines before the first name are read. What it says of the way of speaking holds
            for all lines.

    Raises:
        VoiceError: ``voice-unknown``, ``voice-gone``.
        ConversationError: ``nothing-to-read``.
    """
    told = known_names(library, language)
    names = [*told, *_others(ready_voices(), told)]
    manner = "" if rest.text == DEFAULT_SYSTEM_TEXT else rest.text
    read = []
    for line in script_lines(text, names, told):
        if not line.name:
            read.append(ReadLine(line.text, rest.voice, manner=manner))
            continue
        read.append(ReadLine(line.text, _voice(line.name, library), line.name, manner))
    return tuple(read)


def _others(names: Iterable[str], told: list[str]) -> list[str]:
    return [name for name in names if name not in told]


def _voice(name: str, library: VoiceLibrary) -> VoicePrompt:
    """The saved voice of that name, else the ready one."""
    if name in library.names():
        voice, wav = library.get(name)
        trust(wav)  # what is in a library was checked
        return VoicePrompt(wav, voice.use, voice.transcript or None)
    return ready_voices()[name].prompt()
