"""What a tab is: its description, its components, and what all tabs have in common.

Knows: names and types. Does not know: layout, events, how a turn runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import gradio as gr
from gradio.components import Component

from demos.base.languages import Words
from demos.panels.parameters import Parameters
from demos.playback.voice_line import VoiceDesk
from demos.turns.chat import Task
from demos.turns.given_media import MediumKind
from demos.turns.sessions import Sessions
from demos.voices.build import BuiltVoice
from demos.voices.panel import VoicePanel
from omni.conversation import Part

if TYPE_CHECKING:
    from omni.engine import Engine

# An upload's path and what it has to be -> the session's own copy.
Keep: TypeAlias = Callable[[str, MediumKind], Path]
Media: TypeAlias = Mapping[str, Any]  # the values of a tab's media inputs, by their names
LiveInput: TypeAlias = Literal["microphone", "camera"]


@dataclass(frozen=True)
class TabContext:
    """What all tabs have in common."""

    engine: Engine
    sessions: Sessions
    words: Words
    voices: BuiltVoice
    parameters: Parameters
    voice_lines: VoiceDesk

    @property
    def voice(self) -> VoicePanel:
        """The voice panel's components."""
        return self.voices.panel


@dataclass(frozen=True)
class Chip:
    """A task that people often want, one click each.

    Its label is the word ``chip-<key>``, what it asks the model the word ``prompt-<key>``.
    """

    key: str
    needs: int = 1  # files at least; 0: just what stands in the text box
    task: Task = "chat"
    # Whether it also works on what stands in the text box; the word is prompt-<key>-text then.
    takes_text: bool = False


@dataclass(frozen=True)
class TabSpec:
    """One tab: everything in which it differs from the others.

    Its words are ``tab-<name>`` (the label) and ``chat-empty-<name>`` (what an empty chat says).
    """

    name: str  # of the tab for the browser, sessions and endpoints
    inputs: Callable[[Words], Mapping[str, Component]]  # makes the media inputs, by their names
    # What they hold as parts of a message; the signal ends the work.
    parts: Callable[[Media, Keep, Event], tuple[Part, ...]]
    chips: tuple[Chip, ...] = ()
    examples: str | None = None  # its key in examples/examples.yaml; None: it has none
    live: LiveInput | None = None  # what a conversation without pressing takes; None: there is none
    camera: bool = False  # whether one of its inputs has a camera


@dataclass(frozen=True)
class Tab:
    """The components of a built tab."""

    spec: TabSpec
    page: gr.Tab
    media_column: gr.Column  # where more can be laid out, between the chat and the composer
    composer: gr.Row  # where further buttons of the composer can be laid out
    welcome: gr.Column  # what is shown while the chat is empty: where more can be laid out
    media: Mapping[str, Component]
    text: gr.Textbox
    speak: gr.Checkbox
    send: gr.Button
    stop: gr.Button
    clear: gr.Button
    chat: gr.Chatbot
    player: Component
    playback_support: gr.Textbox  # written by the browser: VOICE_LINE if the page can play one
    ticket: gr.Textbox  # written by the server: of the turn's voice line
    clears: gr.Number  # written by the browser: how often the chat was cleared before an event
    status: gr.HTML
    thread: gr.State
    chips: Mapping[str, gr.Button]  # by their keys
