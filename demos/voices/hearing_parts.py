"""The components by which a voice is heard before it is used.

Knows: what they are and where they stand. Does not know: what happens with them
(demos.voices.hearing).
"""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr
from gradio.components import Component

from demos.base.languages import Words
from demos.playback.player import build_page_player, speech_player

TASK = "hear"  # the name of its turns within the session, and of its player on the page


@dataclass(frozen=True)
class HearParts:
    """The components."""

    hear: gr.Button
    load: gr.Button  # shown where no model is loaded
    told: gr.HTML
    support: gr.Textbox  # as of demos.playback.player.PagePlayer
    ticket: gr.Textbox
    player: gr.Audio

    @property
    def changed(self) -> list[Component]:
        """What hearing changes."""
        return [self.load, self.told, self.ticket, self.player]


def lay_out_hearing(words: Words) -> HearParts:
    """Make the components where the caller is."""
    hear = gr.Button(words.static("hear"), size="sm", elem_id="voice-hear")
    told = gr.HTML("", elem_id="voice-heard", elem_classes=["note"])
    load = gr.Button(words.static("hear-load"), size="sm", visible=False, elem_id="voice-hear-load")
    player = speech_player(TASK, words.static("player"))
    page_player = build_page_player(TASK, words)
    return HearParts(hear, load, told, page_player.support, page_player.ticket, player)
