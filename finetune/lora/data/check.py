"""A data file looked at as a whole, before anything is trained on it.

Knows: what every row holds and takes, which files are broken, what does not fit, what is there
twice, what the model would say otherwise when it is used. Loads no weights.
Does not know: how it is told (:mod:`finetune.lora.data.report`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from finetune.lora.data.cache import MediaCache
from finetune.lora.data.examples import ExampleWriter
from finetune.lora.data.refused import RefusedError
from finetune.lora.data.rows import BadRow, Row, Rows
from omni.config import OmniConfig
from omni.conversation import Message, Speech, Text
from omni.errors import OmniError
from omni.options import AUDIO_MAX_FRAMES, TEXT_MAX_TOKENS
from omni.prompting.media_slots import MediaSlots
from omni.prompting.slots import AudioSlot, FrameSlot, ImageSlot, Prompt
from omni.prompting.tokenizer import OmniTokenizer

FRAMES_PER_S = 12.5  # of codes


@dataclass(frozen=True)
class RowSize:
    """What one row takes and teaches."""

    name: str  # "data.jsonl:12"
    tokens: int  # positions in all, before anything is left out
    learnt: int  # tokens of text that are learnt
    said: int  # frames of speech that are learnt
    heard: int  # frames of codes that are read, a voice prompt's among them
    pictures: int
    frames: int  # of clips
    picture_patches: int  # of pictures and frames


@dataclass(frozen=True)
class Note:
    """Something that a person should know about some rows; they are learnt from all the same."""

    rows: tuple[str, ...]  # their names
    sentence: str  # what is so, and what to do


@dataclass(frozen=True)
class Checked:
    """What a data file comes to."""

    path: Path
    sizes: tuple[RowSize, ...]  # of the rows that can be learnt from
    bad: tuple[BadRow, ...]  # by line
    cut: Mapping[str, int]  # messages that are left out of a row, by its name
    # A row's name, and that of an earlier row that is the same
    twice: Mapping[str, str]
    notes: tuple[Note, ...]
    ignored: Mapping[str, int]  # keys that nothing reads, and how many rows have them


@dataclass
class _Notes:
    """Names of rows, by what is to be told of them."""

    rows: dict[str, list[str]] = field(default_factory=dict)

    def add(self, sentence: str, name: str) -> None:
        names = self.rows.setdefault(sentence, [])
        if names[-1:] != [name]:
            names.append(name)

    def all(self) -> tuple[Note, ...]:
        return tuple(Note(tuple(names), sentence) for sentence, names in self.rows.items())


LONG_TEXT = (
    f"a piece of text before its speech has more than {TEXT_MAX_TOKENS} tokens: when the model "
    "answers, it begins to speak after so many at the latest. Give it several pieces, an <audio> "
    "behind each."
)
LONG_SPEECH = (
    f"a piece of speech is longer than {AUDIO_MAX_FRAMES / FRAMES_PER_S:.0f} s, the most that the "
    "model says at a time. Give it several pieces."
)
UNHEARD_VOICE = "the voice prompt is left out, as no answer is spoken."
DAMAGED = "a sound file ends early or is damaged: what can be heard of it is used."
UNHEARD_CLIP = "a clip's sound cannot be read, so its pictures are used alone."


def check(
    rows: Rows,
    tokenizer: OmniTokenizer,
    config: OmniConfig,
    max_tokens: int,
    tell: Callable[[int], None] = lambda done: None,
) -> Checked:
    """Read every file of every row, as training would, and measure.

    Args:
        max_tokens: positions that a row may have in training.
        tell: called with the number of rows that are done.
    """
    checker = _Checker(tokenizer, config, max_tokens)
    for done, row in enumerate(rows.rows, 1):
        checker.add(row)
        tell(done)
    bad = sorted([*rows.bad, *checker.bad], key=lambda each: each.line)
    return Checked(
        path=rows.path,
        sizes=tuple(checker.sizes),
        bad=tuple(bad),
        cut=checker.cut,
        twice=checker.twice,
        notes=checker.notes.all(),
        ignored=rows.ignored,
    )


class _Checker:
    """Takes rows one by one."""

    def __init__(self, tokenizer: OmniTokenizer, config: OmniConfig, max_tokens: int) -> None:
        self._media = MediaSlots(config)
        self._writer = ExampleWriter(tokenizer, config, self._media, max_tokens)
        self._files = MediaCache()  # for its memory of what files hold; nothing is written
        self._tokenizer = tokenizer
        self._first: dict[str, str] = {}
        self.sizes: list[RowSize] = []
        self.bad: list[BadRow] = []
        self.cut: dict[str, int] = {}
        self.twice: dict[str, str] = {}
        self.notes = _Notes()

    def add(self, row: Row) -> None:
        """Measure ``row``, or tell what is wrong with it."""
        self._media.notes.clear()
        try:
            prompts = self._writer.prompts(row)
            first = self._writer.first(row, [prompt.tokens for prompt in prompts])
            self._writer.check_learnt(row, first)
        except (OmniError, RefusedError) as error:
            self.bad.append(BadRow(row.line, row.name, str(error)))
            return
        if first:
            self.cut[row.name] = first
        same = self._first.setdefault(self._content(row), row.name)
        if same != row.name:
            self.twice[row.name] = same
        self.sizes.append(self._size(row, prompts))
        self._note(row, prompts)

    def _content(self, row: Row) -> str:
        """Equal for rows that teach the same."""
        said = row.conversation
        parts: list[object] = [said.system.text, sorted(row.silent)]
        if said.system.voice is not None:
            parts.append(self._files.file_hash(said.system.voice.path))
        for message in said.messages:
            parts.append(message.role)
            for part in message.parts:
                if isinstance(part, Text):
                    parts.append(part.text)
                elif part.path is not None:
                    parts.append((type(part).__name__, self._files.file_hash(part.path)))
        return repr(parts)

    def _size(self, row: Row, prompts: list[Prompt]) -> RowSize:
        said = heard = pictures = frames = patches = learnt = 0
        for number, prompt in enumerate(prompts):
            message = row.conversation.messages[number - 1] if number else None
            answers = message is not None and message.role == "assistant"
            for slot in prompt.media:
                if isinstance(slot, ImageSlot | FrameSlot):
                    patches += slot.image.grid[0] * slot.image.grid[1]
                    pictures += isinstance(slot, ImageSlot)
                    frames += isinstance(slot, FrameSlot)
                elif answers:
                    said += slot.frames if number - 1 not in row.silent else 0
                else:
                    heard += slot.frames
            if message is not None and answers and number - 1 not in row.silent:
                learnt += self._learnt(message)
        tokens = sum(prompt.tokens for prompt in prompts)
        return RowSize(row.name, tokens, learnt, said, heard, pictures, frames, patches)

    def _learnt(self, message: Message) -> int:
        """The text, the mark before each piece of speech, and the end of text."""
        texts = (part.text for part in message.parts if isinstance(part, Text))
        marks = sum(isinstance(part, Speech) for part in message.parts)
        return sum(len(self._tokenizer.encode(text)) for text in texts) + marks + 1

    def _note(self, row: Row, prompts: list[Prompt]) -> None:
        if row.conversation.system.voice is not None and not row.speech:
            self.notes.add(UNHEARD_VOICE, row.name)
        for note in self._media.notes.values():
            self.notes.add(DAMAGED if note.kind == "damaged" else UNHEARD_CLIP, row.name)
        for message, prompt in zip(row.conversation.messages, prompts[1:], strict=True):
            if not message.spoken:
                continue
            texts = (part.text for part in message.parts if isinstance(part, Text))
            if any(len(self._tokenizer.encode(text)) > TEXT_MAX_TOKENS for text in texts):
                self.notes.add(LONG_TEXT, row.name)
            speech = (slot for slot in prompt.media if isinstance(slot, AudioSlot))
            if any(slot.frames > AUDIO_MAX_FRAMES for slot in speech):
                self.notes.add(LONG_SPEECH, row.name)
