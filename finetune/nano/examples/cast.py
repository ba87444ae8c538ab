"""Who speaks in an example, and how: draws voices, recordings, media of questions, styles.

Knows: turning texts into the parts of a conversation. Does not know: what is talked about.
"""

from __future__ import annotations

from random import Random
from typing import Literal, TypeAlias

from finetune.nano.domain import sentences
from finetune.nano.domain.asking import as_typed, system_text
from finetune.nano.domain.languages import Language
from finetune.nano.domain.splits import Split, stable_hash
from finetune.nano.domain.styles import STYLES, StyleName
from finetune.nano.domain.width import DomainWidth
from finetune.nano.examples.parts import (
    Example,
    Form,
    Heard,
    Part,
    Said,
    System,
    Task,
    Turn,
    Typed,
    spoken_pieces,
)
from finetune.nano.speech.augment import draw_recording
from finetune.nano.speech.synthesis import Utterance
from finetune.nano.speech.texts import heard
from finetune.nano.speech.voices import DEFAULT_VOICE, Voice, draw_voice

Medium: TypeAlias = Literal["typed", "spoken"]

SPEECH_SHARE = 0.75  # of the conversations whose answers are spoken
_PROMPT_SENTENCES = (1, 3)  # of a voice prompt


class Cast:
    """The people of one example.

    Args:
        renderings: in so many ways a text is said by whoever asks; None: never twice the same.
            A few let an encoder's work be used again in other examples.

    ``answerer`` is the voice of the answers, ``style`` theirs unless one is asked for.
    """

    def __init__(
        self,
        rng: Random,
        split: Split,
        width: DomainWidth,
        language: Language,
        renderings: int | None = None,
    ) -> None:
        self.rng, self.split, self.width, self.language = rng, split, width, language
        self.renderings = renderings
        self.asker = draw_voice(rng, split)
        self.answerer = DEFAULT_VOICE
        self.style: StyleName = "plain"
        self.system = System(system_text(rng, language))

    @property
    def other_language(self) -> Language:
        """The language that the example is not in."""
        return "zh" if self.language == "en" else "en"

    def clone(self) -> None:
        """Let the answers take the voice of a recording in the system prompt."""
        voice = draw_voice(self.rng, self.split)
        self.answerer = voice
        self.system = System(self.system.text, self._prompt(voice))

    def adopt(self, style: StyleName) -> None:
        """Let the system prompt ask for a style."""
        wordings = STYLES[style].systems
        if wordings is None:
            raise ValueError(f"nobody asks for the style {style}")
        wording = self.rng.choice(wordings[self.language])
        base = self.system.text
        space = " " if base and self.language == "en" else ""
        self.style = style
        self.system = System(base + space + wording, self.system.voice)

    def hear(self, text: str, language: Language | None = None) -> Heard:
        """A text as the asker says it into a microphone."""
        spoken, voice, rng = language or self.language, self.asker, self.rng
        if self.renderings is not None:
            number = rng.randrange(self.renderings)
            rng = Random(stable_hash("rendering", text, spoken, self.split, number))
            voice = draw_voice(rng, self.split)
        said = heard(rng, text, spoken, voice)
        return Heard(said, draw_recording(rng.getrandbits(32), rng.random()))

    def ask(self, text: str, medium: Medium, *seen: Part, exact: bool = False) -> Turn:
        """A turn of the user.

        Args:
            seen: pictures and clips.
            exact: the text is typed as it is.
        """
        if medium == "spoken":
            return Turn("user", (*seen, self.hear(text)))
        typed = text if exact else as_typed(self.rng, text, self.language)
        return Turn("user", (*seen, Typed(typed)))

    def answer(
        self, text: str, language: Language | None = None, style: StyleName | None = None
    ) -> Turn:
        """A turn of the assistant."""
        pieces = spoken_pieces(text)
        return Turn("assistant", tuple(self.say(piece, language, style) for piece in pieces))

    def say(
        self, piece: str, language: Language | None = None, style: StyleName | None = None
    ) -> Said:
        """A piece of an answer."""
        utterance = Utterance(
            piece.strip(), language or self.language, self.answerer, style or self.style
        )
        return Said(piece, utterance)

    def example(
        self,
        task: Task,
        *turns: Turn,
        kind: str = "",
        form: Form = "conversation",
        speech: bool | None = None,
    ) -> Example:
        """The example; ``speech`` None: spoken mostly, always if a voice or style is at stake."""
        if speech is None:
            asked_for = self.style != "plain" or self.system.voice is not None
            speech = asked_for or self.rng.random() < SPEECH_SHARE
        return Example(task, self.split, self.language, turns, self.system, form, speech, kind)

    def _prompt(self, voice: Voice) -> Heard:
        """A recording of a voice that says a few sentences, mostly in the example's language."""
        language = self.other_language if self.rng.random() < 0.15 else self.language
        number = self.rng.randint(*_PROMPT_SENTENCES)
        texts = [
            sentences.draw(self.rng, self.split, self.width).text(language) for _ in range(number)
        ]
        tempo = round(self.rng.uniform(0.9, 1.15), 3)
        said = Utterance(
            (" " if language == "en" else "").join(texts), language, voice, tempo=tempo
        )
        return Heard(said, draw_recording(self.rng.getrandbits(32), 0.3 * self.rng.random()))
