"""The ready voices that travel with the program: six recordings to speak with.

Knows: assets/voices/gallery.yaml and the sounds beside it. Does not know: how a voice is used, the
page. The sounds are made by finetune/nano/make_voices.py; docs/voices.md has their licences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from omni.conversation import PromptLanguage, VoicePrompt
from omni.listening.reference_check import trust
from omni.shipped import ASSETS

FOLDER = ASSETS / "voices"
TABLE = "gallery.yaml"


@dataclass(frozen=True)
class ReadyVoice:
    """One voice of the gallery."""

    id: str  # of the voice; its sound is <id>.opus
    name: Mapping[str, str]  # by language of the page; every one of them names it anywhere
    about: Mapping[str, str]  # by language of the page: who speaks, in a few words
    language: PromptLanguage  # that it speaks in its recording; it can be asked for any
    transcript: str  # what its recording says
    path: Path  # of the recording: checked, trimmed and levelled when it was made

    def prompt(self) -> VoicePrompt:
        """The voice as a voice prompt; its recording need not be looked at again."""
        trust(self.path)
        return VoicePrompt(self.path, "system", None)


@lru_cache(maxsize=1)
def gallery() -> tuple[ReadyVoice, ...]:
    """All ready voices, in the order in which they are shown."""
    table = yaml.safe_load((FOLDER / TABLE).read_text(encoding="utf-8"))
    return tuple(
        ReadyVoice(
            entry["id"],
            entry["name"],
            entry["about"],
            entry["language"],
            entry["transcript"],
            FOLDER / f"{entry['id']}.opus",
        )
        for entry in table["gallery"]
    )


def ready_voices() -> dict[str, ReadyVoice]:
    """The ready voices by each of their names."""
    return {name: voice for voice in gallery() for name in voice.name.values()}
