"""The gallery of ready voices in the voice panel: cards to hear and to use.

Knows: what a card shows, the browser's events on it. Does not know: which voices there are
(omni.listening.gallery), what their use changes (demos.voices.actions).
"""

from __future__ import annotations

import html
from pathlib import Path

import gradio as gr

from demos.base.languages import Words
from demos.base.word_files import PageLanguage, in_language
from demos.turns.sessions import Session
from omni.listening.gallery import ReadyVoice, gallery
from omni.listening.reference_check import trust
from omni.listening.settings import RATE
from omni.media.wav import write_wav

# A click on a card's button is the event "play" or "use" of the whole; which card, says
# omniVoices.pressed(). After a new value the card that is in use is marked again.
ON_LOAD_JS = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-voice-act]");
  if (!button) return;
  omniVoices.press(button);
  trigger(button.dataset.voiceAct === "play" ? "play" : "use");
});
watch("value", () => { omniVoices.mark(); });"""
PRESSED_JS = "omniVoices.pressed()"


def lay_out_gallery() -> gr.HTML:
    """The cards' place; they come with the page, in the person's language."""
    return gr.HTML("", elem_id="voice-gallery", js_on_load=ON_LOAD_JS)


def cards(words: Words, language: PageLanguage) -> str:
    """The cards as HTML."""
    shown = "".join(_card(voice, words, language) for voice in gallery())
    label = html.escape(words.say(language, "voice-gallery"), quote=True)
    return f'<ul class="voice-cards" aria-label="{label}">{shown}</ul>'


def _card(voice: ReadyVoice, words: Words, language: PageLanguage) -> str:
    name = in_language(voice.name, language)
    shown = {key: html.escape(words.say(language, key, name=name)) for key in _WORDS}
    about = html.escape(in_language(voice.about, language))
    return (
        f'<li class="voice-card" data-voice="{voice.id}">'
        f'<button type="button" class="voice-play" data-voice-act="play" '
        f'aria-label="{shown["voice-play"]}" title="{shown["voice-play"]}"></button>'
        f"<div><strong>{html.escape(name)}</strong><span>{about}</span></div>"
        f'<button type="button" class="voice-pick" data-voice-act="use" aria-pressed="false" '
        f'aria-label="{shown["voice-pick-name"]}">{shown["voice-pick"]}</button></li>'
    )


_WORDS = ("voice-play", "voice-pick", "voice-pick-name")


def ready_voice(name: str) -> ReadyVoice | None:
    """The ready voice of an id; None: there is none."""
    return next((voice for voice in gallery() if voice.id == name), None)


def as_wav(voice: ReadyVoice, session: Session) -> Path:
    """A ready voice's recording in the session's folder, as every browser plays it.

    Raises:
        OmniError: it cannot be kept there.
    """
    from omni.media.audio import read_sound

    samples = read_sound(voice.path, RATE).samples
    with session.writing(f"{voice.id}.wav", samples.nbytes) as path:
        write_wav(path, samples, RATE)
    trust(path)
    return path
