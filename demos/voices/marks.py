"""The panel's choices with a remark on those that the loaded checkpoint does nothing with.

Knows: which components have such choices. Does not know: how it was found out
(demos.voices.truth).
"""

from __future__ import annotations

import gradio as gr

from demos.base.browser_values import Changes
from demos.base.languages import Words
from demos.base.word_files import PageLanguage, in_language
from demos.voices.catalog import LOUDNESSES, PITCHES, SPEEDS, Catalog
from demos.voices.library import USES
from demos.voices.panel import NONE, VoicePanel
from demos.voices.truth import Truth
from omni.prompting.styles import EMOTION_NAMES


def marked_choices(
    panel: VoicePanel, words: Words, language: PageLanguage, catalog: Catalog, truth: Truth
) -> Changes:
    """New choices of roles, emotions, styles and uses; what is chosen stays chosen."""

    def emotion(name: str) -> tuple[str, str]:
        label = words.say(language, f"voice-emotion-{name}")
        return truth.marked(words, language, "emotions", name, label), name

    def step(name: str) -> tuple[str, str]:
        label = words.say(language, f"voice-{name}")
        return truth.marked(words, language, "styles", name, label), name

    def use(name: str) -> tuple[str, str]:
        label = words.say(language, f"voice-use-{name}")
        return truth.marked(words, language, "uses", name, label), name

    def role(name: str) -> tuple[str, str]:
        label = in_language(catalog.roles[name].label, language)
        return truth.marked(words, language, "roles", name, label), name

    normal = (words.say(language, "voice-normal"), NONE)
    styles = {
        panel.speed: SPEEDS,
        panel.pitch: PITCHES,
        panel.loudness: LOUDNESSES,
    }
    no_role = (words.say(language, "voice-role-none"), NONE)
    neutral = (words.say(language, "voice-emotion-none"), NONE)
    return {
        panel.role: gr.update(choices=[no_role, *map(role, catalog.roles)]),
        panel.emotion: gr.update(choices=[neutral, *map(emotion, EMOTION_NAMES)]),
        panel.reference_use: gr.update(choices=[use(name) for name in USES]),
        **{
            radio: gr.update(choices=[step(less), normal, step(more)])
            for radio, (less, more) in styles.items()
        },
    }
