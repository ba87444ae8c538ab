"""What a tab is: its description, its components, and what all tabs have in common.

Knows: names and types. Does not know: layout, events, how a turn runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import gradio as gr
from gradio.components import Component

from demos.base.languages import Words
from demos.panels.parameters import Parameters
from demos.playback.voice_line import VoiceDesk
from demos.turns.sessions import Sessions
from demos.voices.panel import VoicePanel
from omni.conversation import Part

if TYPE_CHECKING:
    from omni.engine import Engine

Keep: TypeAlias = Callable[[str], Path]  # an upload's path -> the session's own copy


@dataclass(frozen=True)
class Shared:
    """What all tabs have in common."""

    engine: Engine
    sessions: Sessions
    words: Words
    voice: VoicePanel
    parameters: Parameters
    desk: VoiceDesk


@dataclass(frozen=True)
class TabSpec:
    """One tab. ``inputs`` makes its media components; ``parts`` turns their values into parts."""

    name: str
    inputs: Callable[[Words], Sequence[Component]]
    parts: Callable[[Sequence[Any], Keep], tuple[Part, ...]]


@dataclass(frozen=True)
class Tab:
    """The components of a built tab."""

    spec: TabSpec
    media: Sequence[Component]
    text: gr.Textbox
    speak: gr.Checkbox
    send: gr.Button
    stop: gr.Button
    clear: gr.Button
    chat: gr.Chatbot
    player: Component
    ear: gr.Textbox  # written by the browser: EAR if the page can play a voice line
    ticket: gr.Textbox  # written by the server: of the line
    status: gr.HTML
    thread: gr.State
