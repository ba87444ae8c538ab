"""A conversation to the token ids and media that the model reads.

Knows: the published prompt forms and our voice prompt; it is the only place that writes special
tokens, and it writes them from parts, never by searching a text.
Does not know: the model, how files are decoded, what is generated.

The ids of a turn that was generated and those of the same turn in the history are equal:
``Text.ids`` are the ids that stand in the context (without the marks of speech and without the end
of text), ``Speech.codes`` the frames that were fed, one pad each, between the marks of speech.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from omni.config import OmniConfig
from omni.conversation import (
    Audio,
    Conversation,
    Image,
    Language,
    Message,
    Part,
    Speech,
    SystemPrompt,
    Text,
    Video,
    VoicePrompt,
)
from omni.errors import ConversationError
from omni.media.audio import audio_pieces, check_audible, read_waveform
from omni.media.image import ImagePatches, image_patches, read_image
from omni.media.video import iter_frames
from omni.prompting.reading import reading_pieces
from omni.prompting.slots import AudioSlot, CodesSlot, FrameSlot, ImageSlot, Prompt, Slot
from omni.prompting.system_text import VOICE_SENTENCE
from omni.prompting.tokenizer import OmniTokenizer

TRANSCRIBE_TEXT = "将语音转录为文本:"
READ_ALOUD_TEXT: dict[Language, str] = {
    "en": "Read this aloud: {transcript}",
    "zh": "请朗读：{transcript}",
}
# A text longer than this for each token of the context cannot fit; encoding it would take minutes.
CHARACTERS_PER_TOKEN = 16


def canonical_order(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The published order of a user's parts: pictures, clips, sound, text."""
    order = (Image, Video, Audio, Speech, Text)
    return tuple(sorted(parts, key=lambda part: order.index(type(part))))


class PromptBuilder:
    """Writes the prompts of one checkpoint. Pure: the same files give the same prompt.

    Every method raises :class:`omni.errors.MediaError` for a file that cannot be used and
    :class:`ConversationError` ``conversation-long`` for more than ``max_tokens`` ids.
    """

    def __init__(
        self, tokenizer: OmniTokenizer, config: OmniConfig, max_tokens: int | None = None
    ) -> None:
        """
        Args:
            max_tokens: ids that a prompt may have; None: the config's context.

        Raises:
            CheckpointError: tokenizer and config contradict each other.
        """
        tokenizer.special.check(config)
        self.tokenizer = tokenizer
        self.config = config
        self.max_tokens = max_tokens or config.max_position_embeddings

    def build(self, conversation: Conversation, speech: bool) -> Prompt:
        """The conversation, up to the opening of the assistant's turn.

        An empty system prompt is left out. The voice prompt goes in where speech is asked for.

        Args:
            speech: whether the assistant is asked to speak.

        Raises:
            ConversationError: ``nothing-said``, ``voice-transcript``, ``speech-foreign``.
        """
        check_said(conversation)
        writer = self.writer()
        _write_opening(writer, conversation, speech)
        for message in conversation.messages:
            _write_turn(writer, message)
        _open_assistant(writer, speech)
        return writer.finish()

    def opening(self, conversation: Conversation, speech: bool) -> Prompt:
        """What stands before the messages. With :meth:`message` of each message and
        :meth:`invitation` behind it, this is :meth:`build`, piece by piece.
        """
        writer = self.writer()
        _write_opening(writer, conversation, speech)
        return writer.finish()

    def message(self, message: Message) -> Prompt:
        """One message."""
        writer = self.writer()
        _write_turn(writer, message)
        return writer.finish()

    def invitation(self, speech: bool) -> Prompt:
        """The opening of the assistant's turn."""
        writer = self.writer()
        _open_assistant(writer, speech)
        return writer.finish()

    def transcription(self, path: Path) -> Prompt:
        """Asks for what is said in a recording (the published form, without roles)."""
        writer = self.writer()
        writer.text(TRANSCRIBE_TEXT)
        writer.audio(path)
        return writer.finish()

    def reading(
        self, text: str, voice: VoicePrompt | None = None, language: Language = "en"
    ) -> tuple[Prompt, ...]:
        """Asks for a text to be read aloud: a prompt for each piece, to be fed one after another.

        The published form, without roles. A voice prompt stands before the first piece, either
        as a system prompt or as an example that was read before.

        Raises:
            ConversationError: ``nothing-to-read``, ``voice-transcript``.
        """
        _check_characters(text, self.max_tokens)
        pieces = reading_pieces(text)
        if not pieces:
            raise ConversationError("nothing-to-read", "There is no text to read aloud: type some.")
        prompts, tokens = [], 0
        for number, piece in enumerate(pieces):
            writer = self.writer(used=tokens)
            if number == 0 and voice is not None:
                _open_reading(writer, voice, language)
            writer.text(piece)
            writer.mark(writer.special.audiogen_start)
            prompts.append(writer.finish())
            tokens += prompts[-1].tokens
        return tuple(prompts)

    def writer(self, used: int = 0) -> PromptWriter:
        """An empty prompt to write, behind ``used`` ids of the context."""
        return PromptWriter(self.tokenizer, self.config, self.max_tokens, used)


class PromptWriter:
    """Writes one prompt, part by part. Text is encoded part by part and never crosses media."""

    def __init__(
        self, tokenizer: OmniTokenizer, config: OmniConfig, max_tokens: int, used: int = 0
    ) -> None:
        self.special = tokenizer.special
        self._tokenizer = tokenizer
        self._audio = config.audio
        self._visual = config.visual
        self._video = config.video
        self._max_tokens = max_tokens
        self._used = used
        self._ids: list[int] = []
        self._media: list[Slot] = []

    def finish(self) -> Prompt:
        """The prompt so far."""
        return Prompt(list(self._ids), tuple(self._media))

    def mark(self, *tokens: int) -> None:
        """Special tokens."""
        self._extend(tokens)

    def text(self, text: str) -> None:
        """Text as text, whatever it says."""
        _check_characters(text, self._max_tokens)
        self._extend(self._tokenizer.encode(text))

    def generated(self, part: Text) -> None:
        """The assistant's own text, by the ids that it was generated with.

        A pad among them (the published loop can draw one) would stand for media that do not
        exist, so it is left out. Ids of another tokenizer are not used.
        """
        if part.ids is None or max(part.ids, default=0) >= self._tokenizer.size:
            self.text(part.text)
        else:
            self._extend([token for token in part.ids if token not in self.special.pads])

    def audio(self, path: Path) -> None:
        """Sound that the model hears."""
        self._sound(path, self.special.audio_start, self.special.audio_end)

    def speech(self, part: Speech) -> None:
        """Speech of the assistant: its codes, else the sound, encoded again.

        Raises:
            ConversationError: ``speech-foreign``, codes of another model and no sound.
        """
        if part.codes is not None and self._is_ours(part.codes):
            self._extend([self.special.audiogen_start])
            self._media.append(CodesSlot(part.codes))
            self._extend([self.special.audio_pad] * len(part.codes))
            self._extend([self.special.audiogen_end])
        elif part.path is not None:
            self._sound(part.path, self.special.audiogen_start, self.special.audiogen_end)
        else:
            raise ConversationError(
                "speech-foreign",
                "An answer in this conversation was spoken by another model: begin a new one.",
            )

    def image(self, path: Path) -> None:
        """A picture."""
        patches = image_patches(read_image(path), self._visual)
        self._media.append(ImageSlot(patches))
        self._picture(patches, self.special.image_pad)

    def video(self, path: Path) -> None:
        """The frames of a clip; the marks of a whole clip never reach the model."""
        for frame in iter_frames(path, self._video.max_frame_num):
            patches = image_patches(frame, self._video)
            self._media.append(FrameSlot(patches))
            self._picture(patches, self.special.video_place)

    def part(self, part: Part, by_assistant: bool) -> None:
        """Any part of a message. A person's text has no ids of its own, whatever it claims."""
        if isinstance(part, Text):
            self.generated(part if by_assistant else Text(part.text))
        elif isinstance(part, Audio):
            self.audio(part.path)
        elif isinstance(part, Image):
            self.image(part.path)
        elif isinstance(part, Video):
            self.video(part.path)
        else:
            self.speech(part)

    def _sound(self, path: Path, start: int, end: int) -> None:
        waveform = read_waveform(path, self._audio.sampling_rate)
        check_audible(waveform, Path(path).name)
        pieces = audio_pieces(waveform, self._audio)
        self._media.append(AudioSlot(pieces))
        pads = sum(piece.bridge_length for piece in pieces)
        self._extend([start, *[self.special.audio_pad] * pads, end])

    def _picture(self, patches: ImagePatches, pad: int) -> None:
        rows = patches.grid[0] * patches.grid[1] // self._visual.merged_patches
        self._extend([self.special.image_start, *[pad] * rows, self.special.image_end])

    def _is_ours(self, codes: np.ndarray) -> bool:
        sizes = np.array(self._audio.codebook_sizes)
        shaped = codes.ndim == 2 and codes.shape[1] == len(sizes)
        return shaped and bool(((codes >= 0) & (codes < sizes)).all())

    def _extend(self, ids: Iterable[int]) -> None:
        """Checked part by part, so that what cannot be read is not decoded either."""
        self._ids.extend(ids)
        tokens = self._used + len(self._ids)
        if tokens > self._max_tokens:
            raise too_long(tokens, self._max_tokens)


def check_said(conversation: Conversation) -> None:
    """Raises ConversationError ``nothing-said`` where there is nothing to answer."""
    last = conversation.messages[-1] if conversation.messages else None
    said = last is not None and last.role == "user" and any(map(_says_something, last.parts))
    if not said:
        raise ConversationError(
            "nothing-said", "There is nothing to answer: say or type something."
        )


def _says_something(part: Part) -> bool:
    return not isinstance(part, Text) or bool(part.text.strip())


def _write_system(
    writer: PromptWriter, system: SystemPrompt, voice: VoicePrompt | None, language: Language
) -> None:
    in_system = voice is not None and voice.use == "system"
    text = system.text + (VOICE_SENTENCE[language] if in_system else "")
    if text:
        writer.mark(writer.special.system)
        writer.text(text)
    if voice is None:
        return
    if in_system:
        writer.audio(voice.path)
        return
    transcript = _transcript(voice)
    writer.mark(writer.special.user)
    writer.text(READ_ALOUD_TEXT[language].format(transcript=transcript))
    _open_assistant(writer, speech=True)
    writer.text(transcript)
    writer.speech(Speech(path=voice.path))


def _open_reading(writer: PromptWriter, voice: VoicePrompt, language: Language) -> None:
    if voice.use == "system":
        _write_system(writer, SystemPrompt(text=""), voice, language)
        return
    writer.text(_transcript(voice))
    writer.speech(Speech(path=voice.path))


def _write_opening(writer: PromptWriter, conversation: Conversation, speech: bool) -> None:
    voice = conversation.system.voice if speech else None
    _write_system(writer, conversation.system, voice, conversation.language)


def _write_turn(writer: PromptWriter, message: Message) -> None:
    by_assistant = message.role == "assistant"
    if by_assistant:
        _open_assistant(writer, message.spoken)
    else:
        writer.mark(writer.special.user)
    for part in message.parts:
        writer.part(part, by_assistant)


def _open_assistant(writer: PromptWriter, speech: bool) -> None:
    if speech:
        writer.mark(writer.special.audiotext_start)
    writer.mark(writer.special.assistant)


def _transcript(voice: VoicePrompt) -> str:
    transcript = (voice.transcript or "").strip()
    if not transcript:
        raise ConversationError(
            "voice-transcript",
            "A recording that is used as an example needs its transcript: type what it says.",
        )
    return transcript


def _check_characters(text: str, limit: int) -> None:
    if len(text) > CHARACTERS_PER_TOKEN * limit:
        raise too_long(limit + 1, limit)


def too_long(tokens: int, limit: int) -> ConversationError:
    """``conversation-long``: a prompt of ``tokens`` ids where ``limit`` are read."""
    return ConversationError(
        "conversation-long",
        "The conversation has {tokens} tokens or more and the model reads {limit}: begin a new "
        "one, or give shorter media and texts.",
        tokens=tokens,
        limit=limit,
    )
