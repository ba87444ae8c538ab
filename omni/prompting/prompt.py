"""A conversation to the token ids and media that the model reads.

Knows: how the parts of a conversation are written, part by part, never by searching a text.
Does not know: the model, how files are decoded, what is generated.

The ids of an answer that was generated and those of the same answer in the history are equal:
``Text.ids`` are the ids that stand in the context (without the marks of speech and without the end
of text), ``Speech.codes`` the frames that were fed, one pad each, between the marks of speech.
"""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from pathlib import Path
from threading import Event

import numpy as np

from omni.config import AudioConfig, OmniConfig
from omni.conversation import (
    Audio,
    Conversation,
    Image,
    Message,
    Part,
    PromptLanguage,
    Speech,
    SystemPrompt,
    Text,
    Video,
    VoicePrompt,
)
from omni.errors import ConversationError
from omni.events import MediaNote
from omni.prompting import forms
from omni.prompting.media_slots import MediaSlots
from omni.prompting.reading import reading_pieces
from omni.prompting.slots import AudioSlot, CodesSlot, Prompt
from omni.prompting.tokenizer import OmniTokenizer
from omni.prompting.writer import PromptWriter, check_characters


class PromptBuilder:
    """Writes the prompts of one checkpoint. Pure: the same files give the same prompt.

    Every method raises :class:`omni.errors.MediaError` for a file that cannot be used and
    :class:`ConversationError` ``conversation-long`` for more than ``max_tokens`` ids.
    """

    def __init__(
        self,
        tokenizer: OmniTokenizer,
        config: OmniConfig,
        max_tokens: int | None = None,
        media: MediaSlots | None = None,
    ) -> None:
        """
        Args:
            max_tokens: ids that a prompt may have; None: the config's context.
            media: reads the files; None: nothing that was read is kept.

        Raises:
            CheckpointError: tokenizer and config contradict each other.
        """
        tokenizer.special.check(config)
        self.tokenizer = tokenizer
        self.config = config
        self.max_tokens = max_tokens or config.max_position_embeddings
        self._media = media or MediaSlots(config)
        self._checks_speech = False

    def for_turn(self, stop: Event) -> PromptBuilder:
        """The same for one turn of a person.

        Decoding ends with :class:`omni.media.limits.DecodingStopped` when ``stop`` is set. What is
        transcribed must have speech in it (``audio-no-speech``), and a voice to take must be usable
        (:mod:`omni.listening.reference_check`). :meth:`notes_on` tells what was noticed.
        """
        builder = copy(self)
        builder._media = MediaSlots(self.config, stop)
        builder._checks_speech = True
        return builder

    def notes_on(self, paths: Collection[Path]) -> tuple[MediaNote, ...]:
        """What was noticed while those of ``paths`` were read that were."""
        return tuple(note for path, note in self._media.notes.items() if path in paths)

    def build(self, conversation: Conversation, speech: bool) -> Prompt:
        """The conversation, up to the opening of the assistant's message.

        An empty system prompt is left out. The voice prompt goes in where speech is asked for.

        Args:
            speech: whether the assistant is asked to speak.

        Raises:
            ConversationError: ``nothing-said``, ``voice-transcript``, ``speech-foreign``.
        """
        check_said(conversation)
        writer = self.writer()
        self._write_opening(writer, conversation, speech)
        for message in conversation.messages:
            self._write_message(writer, message)
        forms.open_assistant(writer, speech)
        return writer.finish()

    def opening(self, conversation: Conversation, speech: bool) -> Prompt:
        """What stands before the messages. With :meth:`message` of each message and
        :meth:`invitation` behind it, this is :meth:`build`, piece by piece.
        """
        writer = self.writer()
        self._write_opening(writer, conversation, speech)
        return writer.finish()

    def message(self, message: Message) -> Prompt:
        """One message."""
        writer = self.writer()
        self._write_message(writer, message)
        return writer.finish()

    def invitation(self, speech: bool) -> Prompt:
        """The opening of the assistant's message."""
        writer = self.writer()
        forms.open_assistant(writer, speech)
        return writer.finish()

    def transcription(self, path: Path) -> Prompt:
        """Asks for what is said in a sound file (the published form, without roles)."""
        if self._checks_speech:
            self._media.check_spoken(path)
        writer = self.writer()
        forms.open_transcription(writer)
        writer.sound(self._media.sound(path))
        return writer.finish()

    def reading(
        self,
        text: str,
        voice: VoicePrompt | None = None,
        language: PromptLanguage = "en",
        manner: str = "",
    ) -> tuple[Prompt, ...]:
        """Asks for a text to be read aloud: a prompt for each piece, to be fed one after another.

        The published form, without roles. A voice prompt stands before the first piece, either
        as a system prompt or as an example that was read before. That form has no place for a
        wish: with a ``manner`` the pieces are what an assistant says who was asked to read the
        text in a conversation whose system prompt is ``manner``.

        Args:
            language: of the sentences about the voice and the reading.
            manner: the text of a system prompt.

        Raises:
            ConversationError: ``nothing-to-read``, ``voice-transcript``.
        """
        check_characters(text, self.max_tokens)
        pieces = reading_pieces(text)
        if not pieces:
            raise ConversationError("nothing-to-read", "There is no text to read aloud: type some.")
        prompts, tokens = [], 0
        for number, piece in enumerate(pieces):
            writer = self.writer(used=tokens)
            if number == 0 and manner:
                self._write_request_to_read(writer, SystemPrompt(manner, voice), language, text)
            elif number == 0 and voice is not None:
                self._write_reading_voice(writer, voice, language)
            forms.open_reading(writer, piece)
            prompts.append(writer.finish())
            tokens += prompts[-1].tokens
        return tuple(prompts)

    def writer(self, used: int = 0) -> PromptWriter:
        """An empty prompt to write, behind ``used`` ids of the context."""
        return PromptWriter(self.tokenizer, self.config, self.max_tokens, used)

    def write_part(
        self,
        writer: PromptWriter,
        part: Part,
        by_assistant: bool,
        clips: Collection[Path] = (),
    ) -> None:
        """Any part of a message. A person's text has no ids of its own, whatever it claims.

        Args:
            clips: that the same message shows; their sound is left out where it cannot be read.

        Raises:
            ConversationError: ``speech-foreign``, codes of another model and no sound.
        """
        if isinstance(part, Text):
            writer.generated(part if by_assistant else Text(part.text))
        elif isinstance(part, Audio):
            self._write_sound(writer, part, clips)
        elif isinstance(part, Image):
            writer.picture(self._media.picture(part.path))
        elif isinstance(part, Video):
            for frame in self._media.frames(part.path):
                writer.picture(frame)
        else:
            self._write_speech(writer, part)

    def _write_sound(self, writer: PromptWriter, part: Audio, clips: Collection[Path]) -> None:
        if part.path in clips:
            slot = self._media.sound_of_clip(part.path)
            if slot is not None:
                writer.sound(slot)
        else:
            writer.sound(self._media.sound(part.path))

    def _write_speech(self, writer: PromptWriter, part: Speech) -> None:
        """The codes, else the sound, encoded again."""
        if part.codes is not None and _fit(part.codes, self.config.audio):
            writer.speech(CodesSlot(part.codes))
        elif part.path is not None:
            writer.speech(self._media.sound(part.path))
        else:
            raise ConversationError(
                "speech-foreign",
                "An answer in this conversation was spoken by another model: begin a new one.",
            )

    def _write_message(self, writer: PromptWriter, message: Message) -> None:
        by_assistant = message.role == "assistant"
        if by_assistant:
            forms.open_assistant(writer, message.spoken)
        else:
            forms.open_user(writer)
        clips = {part.path for part in message.parts if isinstance(part, Video)}
        for part in message.parts:
            self.write_part(writer, part, by_assistant, clips)

    def _write_opening(
        self, writer: PromptWriter, conversation: Conversation, speech: bool
    ) -> None:
        system, language = conversation.system, conversation.language
        voice = system.voice if speech else None
        if voice is not None and voice.use == "system":
            self.write_voice(writer, system, voice, language)
            return
        forms.write_system(writer, system.text, language, voice_follows=False)
        if voice is not None:
            forms.open_example(writer, _transcript(voice), language)
            writer.speech(self._voice(voice))

    def _write_reading_voice(
        self, writer: PromptWriter, voice: VoicePrompt, language: PromptLanguage
    ) -> None:
        if voice.use == "system":
            self.write_voice(writer, SystemPrompt(text=""), voice, language)
        else:
            writer.text(_transcript(voice))
            writer.speech(self._voice(voice))

    def _write_request_to_read(
        self, writer: PromptWriter, system: SystemPrompt, language: PromptLanguage, text: str
    ) -> None:
        self._write_opening(writer, Conversation(system, language=language), speech=True)
        forms.ask_to_read(writer, text, language)

    def write_voice(
        self,
        writer: PromptWriter,
        system: SystemPrompt,
        voice: VoicePrompt,
        language: PromptLanguage,
    ) -> None:
        """Write the system text and behind it the recording whose voice is to be taken."""
        forms.write_system(writer, system.text, language, voice_follows=True)
        writer.sound(self._voice(voice))

    def _voice(self, voice: VoicePrompt) -> AudioSlot | CodesSlot:
        if self._checks_speech:
            self._media.check_voice(voice.path)
        return self._media.sound(voice.path)


def check_said(conversation: Conversation) -> None:
    """Refuse a conversation in which there is nothing to answer.

    Raises:
        ConversationError: ``nothing-said``.
    """
    last = conversation.messages[-1] if conversation.messages else None
    said = last is not None and last.role == "user" and any(map(_says_something, last.parts))
    if not said:
        raise ConversationError(
            "nothing-said", "There is nothing to answer: say or type something."
        )


def _says_something(part: Part) -> bool:
    return not isinstance(part, Text) or bool(part.text.strip())


def _fit(codes: np.ndarray, config: AudioConfig) -> bool:
    """Whether ``codes`` (frames, codebooks) can be this checkpoint's."""
    sizes = np.array(config.codebook_sizes)
    shaped = codes.ndim == 2 and codes.shape[1] == len(sizes)
    return shaped and bool(((codes >= 0) & (codes < sizes)).all())


def _transcript(voice: VoicePrompt) -> str:
    transcript = (voice.transcript or "").strip()
    if not transcript:
        raise ConversationError(
            "voice-transcript",
            "A recording that is used as an example needs its transcript: type what it says.",
        )
    return transcript
