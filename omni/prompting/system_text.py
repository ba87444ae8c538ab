"""A role, a voice and a way of speaking to the text of the system prompt.

Knows: the sentences and their order. Does not know: recordings, where the
prompt puts them, who chose what, user interfaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from unicodedata import east_asian_width

from omni.conversation import PromptLanguage
from omni.prompting.styles import EMOTIONS, STYLE_NAMES, EmotionName, StyleName, style_sentence

DEFAULT_VOICE = "邻家女声"
# The published demos' sentence, with their one voice in the place of {name}. It stays Chinese in
# English prompts too: it is the form that the published model was trained on.
NAMED_VOICE = "请用【{name}】这个声音回答问题。"
# What the prompt says before a recording whose voice is to be taken.
VOICE_SENTENCE: Mapping[PromptLanguage, str] = {
    "en": "Answer in the voice of this recording.",
    "zh": "请用这段录音的声音回答。",
}
_FULL_WIDTH_ENDS = "。！？；：，、】」』”…"


@dataclass(frozen=True)
class SystemChoices:
    """What a person chose.

    ``voice``: a voice that the model knows by name, None: none is named. ``role`` and ``wish``:
    sentences in any language. ``styles``: any of STYLE_NAMES, in any order.
    """

    voice: str | None = DEFAULT_VOICE
    role: str = ""
    emotion: EmotionName | None = None
    styles: tuple[StyleName, ...] = ()
    wish: str = ""


def system_text(choices: SystemChoices, language: PromptLanguage, natural: bool = False) -> str:
    """The choices as sentences: role, voice, emotion, styles, wish. Empty if nothing is chosen.

    Args:
        language: of the sentences about emotion and styles.
        natural: styles as people say them, see :func:`omni.prompting.styles.style_sentence`.
    """
    sentences = [
        choices.role,
        NAMED_VOICE.format(name=choices.voice) if choices.voice else "",
        EMOTIONS[choices.emotion][language] if choices.emotion else "",
        *(
            style_sentence(name, language, natural)
            for name in STYLE_NAMES
            if name in choices.styles
        ),
        choices.wish,
    ]
    return joined(sentence.strip() for sentence in sentences)


def joined(sentences: Iterable[str]) -> str:
    """Sentences one after another, with a space between them unless both sides are full-width."""
    text = ""
    for sentence in sentences:
        if text and sentence:
            wide = text[-1] in _FULL_WIDTH_ENDS and east_asian_width(sentence[0]) in "WF"
            text += "" if wide else " "
        text += sentence
    return text
