"""The speech players of a tab: they play the assistant's voice while it is still being produced.

Knows: the page's own player (assets/scripts/speech.js), Gradio's, which is there for browsers and
networks that cannot have ours, the chunks that Gradio's takes, how both are silenced.
Does not know: where the samples come from, how they reach the page's player
(demos.playback.voice_line).

For Gradio's player chunks go out as WAV bytes: Gradio writes a file to disk for each pair of rate
and samples. One AAC encoder runs for a whole answer, so there is no hole between chunks.
"""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Sequence

import gradio as gr
import numpy as np
from gradio import audio_stream_encoder
from gradio.audio_stream_encoder import AacStreamEncoder
from gradio.i18n import I18nData

from demos.base.languages import Words
from omni.events import SPEECH_RATE

# The page asks for the stream as soon as the first chunk was handed over. If the encoder has not
# made anything of it by then, the page asks again only a second later; if it has made a little,
# the page plays that and then waits as long. So wait for all that the encoder makes of a chunk.
STARTUP_S = 1.0  # for its process to come up, at most
SETTLE_S = 0.02  # without a new frame: that was all

CSS_CLASS = "speech-player"
EAR = "web-audio"  # what a page says that can play a voice line


_take = AacStreamEncoder.take


def _take_all(encoder: AacStreamEncoder, timeout: float | None = None) -> list[bytes]:
    """Like ``take``, which returns with the first frames that are there."""
    frames = _take(encoder, timeout)
    while frames and (more := _take(encoder, SETTLE_S)):
        frames += more
    return frames


audio_stream_encoder.STARTUP_WAIT = STARTUP_S
AacStreamEncoder.take = _take_all  # type: ignore[assignment, method-assign]


def speech_player(tab: str, label: str | I18nData) -> gr.Audio:
    """The player of one tab; it starts by itself with the first chunk."""
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


def voice_line(tab: str, words: Words) -> tuple[gr.Textbox, gr.Textbox]:
    """The page's own player of one tab: what the browser says of it, and where its ticket goes."""
    with gr.Row(elem_id=f"{tab}-voice", elem_classes=["voice-line"]):
        gr.HTML("<i></i><i></i><i></i><i></i><i></i>", elem_classes=["voice-bars"])
        for action in ("pause", "resume"):
            button = gr.Button(
                words.static(f"voice-{action}"), size="sm", elem_classes=[f"voice-{action}"]
            )
            button.click(None, None, None, js=f"() => {{ omniSpeech.{action}(); }}")
        _volume(tab, words)
    ear = gr.Textbox(visible="hidden", elem_id=f"{tab}-ear")
    ticket = gr.Textbox(visible="hidden", elem_id=f"{tab}-ticket")
    ticket.change(
        None, [ticket], None, js=f"(ticket) => {{ omniSpeech.connect('{tab}', ticket); }}"
    )
    return ear, ticket


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
    return wav_bytes(samples)


def silence_js(tab: str) -> str:
    """Browser code that silences the tab's player at once and keeps it silent."""
    return f"(...values) => {{ omniSpeech.silence('{tab}'); return values; }}"


def empty_js(tab: str, values: Sequence[object]) -> str:
    """Browser code that silences the tab's player and gives ``values``."""
    return f"() => {{ omniSpeech.silence('{tab}'); return {json.dumps(list(values))}; }}"


def listen_js(tab: str, place: int) -> str:
    """Browser code for a turn that begins: its chat comes in sight, and the tab may speak again.

    By what it can speak is said at ``place`` of the values.
    """
    return (
        f"(...values) => {{ omniChat.reveal('{tab}');"
        f" return omniSpeech.listen('{tab}', values, {place}, '{EAR}'); }}"
    )


def wav_bytes(samples: np.ndarray) -> bytes:
    """int16 samples (samples,) as a mono WAV file at SPEECH_RATE."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEECH_RATE)
        file.writeframes(np.ascontiguousarray(samples, dtype="<i2").tobytes())
    return buffer.getvalue()
