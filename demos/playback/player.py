"""The speech players of a tab: they play the assistant's voice while it is still being produced.

Knows: the page's own player (assets/scripts/speech.js), Gradio's, which is there for browsers and
networks that cannot have ours, the chunks that Gradio's takes, how both are silenced.
Does not know: where the samples come from, how they reach the page's player
(demos.playback.voice_line).

For Gradio's player chunks go out as WAV bytes: Gradio writes a file to disk for each pair of rate
and samples. One AAC encoder runs for a whole answer, so there is no hole between chunks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr
import numpy as np

from demos.base.gradio_internals import encode_whole_chunks
from demos.base.languages import Words
from omni.events import SPEECH_RATE
from omni.media.wav import wav_bytes

if TYPE_CHECKING:
    from demos.base.gradio_internals import Label

CSS_CLASS = "speech-player"
VOICE_LINE = "web-audio"  # what a page says that can play a voice line


def speech_player(tab: str, label: Label) -> gr.Audio:
    """Gradio's player of one tab; it starts by itself with the first chunk."""
    encode_whole_chunks()
    return gr.Audio(
        label=label,
        show_label=False,
        streaming=True,
        autoplay=True,
        interactive=False,
        buttons=[],
        elem_id=f"{tab}-player",
        elem_classes=[CSS_CLASS],
    )


@dataclass(frozen=True)
class PagePlayer:
    """The hidden components by which server and browser speak about a voice line."""

    support: gr.Textbox  # written by the browser: VOICE_LINE if it can play one
    ticket: gr.Textbox  # written by the server: of the line to play


def build_page_player(tab: str, words: Words) -> PagePlayer:
    """Lay the page's own player of one tab out where the caller is."""
    with gr.Row(elem_id=f"{tab}-voice", elem_classes=["voice-line"]):
        gr.HTML("<i></i><i></i><i></i><i></i><i></i>", elem_classes=["voice-bars"])
        for action in ("pause", "resume"):
            button = gr.Button(
                words.static(f"voice-{action}"), size="sm", elem_classes=[f"voice-{action}"]
            )
            button.click(None, None, None, js=f"() => {{ omniSpeech.{action}(); }}")
        _volume(tab, words)
    support = gr.Textbox(visible="hidden", elem_id=f"{tab}-ear")
    ticket = gr.Textbox(visible="hidden", elem_id=f"{tab}-ticket")
    ticket.change(
        None, [ticket], None, js=f"(ticket) => {{ omniSpeech.connect('{tab}', ticket); }}"
    )
    return PagePlayer(support, ticket)


def _volume(tab: str, words: Words) -> None:
    """Loudness and mute, for all that speaks in any tab."""
    name = f"{tab}-volume-name"
    gr.HTML(words.static("volume"), elem_id=name, elem_classes=["bridge"])
    mute = gr.Button(words.static("mute"), size="sm", min_width=0, elem_classes=["mute"])
    mute.click(None, None, None, js="() => { omniVolume.mute(); }")
    gr.HTML(
        f'<input type="range" min="0" max="1" step="0.05" aria-labelledby="{name}">',
        elem_classes=["volume"],
        js_on_load="omniVolume.reflect();",
    )


def blocked_note(tab: str, words: Words) -> gr.HTML:
    """Shown when the browser's rules kept Gradio's player from starting (gradio_player.js)."""
    return gr.HTML(
        words.static("player-blocked"), elem_id=f"{tab}-blocked", elem_classes=["blocked"]
    )


def chunk(samples: np.ndarray | None) -> object:
    """What the player gets for int16 ``samples`` (samples,) at SPEECH_RATE; None: nothing new."""
    if samples is None or samples.size == 0:
        return gr.skip()
    return wav_bytes(samples, SPEECH_RATE)


def silence(tab: str) -> str:
    """A statement of browser code that silences the tab's player at once and keeps it silent."""
    return f"omniSpeech.silence('{tab}');"


def silence_js(tab: str) -> str:
    """Browser code for an event that only silences the tab's player."""
    return f"(...values) => {{ {silence(tab)} return values; }}"


def cleared_js(tab: str) -> str:
    """A statement of browser code: the tab's chat was cleared."""
    return f"omniNewest.begin('{tab}-clear');"


def clears_js(tab: str) -> str:
    """Browser code for how often the tab's chat was cleared."""
    return f"omniNewest.number('{tab}-clear')"


def listen_js(tab: str, place: int, clears: int, sends: bool = False) -> str:
    """Browser code for a turn that begins: what was open is folded, and the tab may speak again.

    Whoever has begun a turn has read the notice above it.

    Args:
        place: of the event's input that says whether the page can play a voice line.
        clears: of the one that says how often the chat was cleared.
        sends: it takes what stands in the text box.
    """
    sent = f"omniVisit.send('{tab}');" if sends else ""
    return (
        f"(...values) => {{ omniComposer.fold('{tab}'); omniNotice.read(); {sent}"
        f" values[{clears}] = {clears_js(tab)};"
        f" return omniSpeech.listen('{tab}', values, {place}, '{VOICE_LINE}'); }}"
    )
