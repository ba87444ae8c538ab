"""A row to what the model learns of it: ids, media, and what follows each id.

Knows: which places of a prompt are the assistant's, what is left out of a row that is too long.
The prompt itself is written as for every other model input, by
:class:`omni.prompting.prompt.PromptBuilder`. Does not know: batches, losses.

The ids of an answer are those that stand in the context after it was generated: text, the mark
that starts speech, a pad a frame, the mark that ends it. The loop of generation writes the mark
that ends speech and every mark before an answer by itself, so these are not learnt; the end of
text is learnt behind the last id, and is not in the context.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from finetune.lora.data.cache import MediaCache
from finetune.lora.data.formats import Form
from finetune.lora.data.forms import reading_prompts, transcription_prompts
from finetune.lora.data.media import CachedMedia, FrozenEncoders, SeenFrame, SeenPicture
from finetune.lora.data.refused import RefusedError
from finetune.lora.data.rows import Row
from omni.config import OmniConfig
from omni.model.omni import OmniForCausalLM
from omni.prompting.media_slots import MediaSlots
from omni.prompting.prompt import PromptBuilder
from omni.prompting.slots import CodesSlot, Prompt
from omni.prompting.tokenizer import OmniTokenizer

IGNORED = -100  # no target here
MOST_TOKENS = 1 << 20  # of a row that is measured; what is longer is no row of a conversation


@dataclass(frozen=True, eq=False)
class Example:
    """One row as tensors."""

    name: str  # the row's, for messages
    ids: torch.Tensor  # int64 (positions,)
    # int64 (positions,): the id that is to follow each place, IGNORED where none is learnt
    text_targets: torch.Tensor
    codes: torch.Tensor  # int64 (audio pads, codebooks): of all audio pads in order, heard and said
    frame_places: torch.Tensor  # int64 (frames,): positions whose states predict a frame of speech
    # int64 (frames, codebooks): the frame; the last one of a piece of speech is the end frame,
    # whose first code is the class that ends audio (the others mean nothing)
    frame_targets: torch.Tensor
    # (patches, embed_dim) of all pictures in order: what the tower gives, which the bridge makes
    # rows of, one for four patches
    image_features: torch.Tensor
    video_features: torch.Tensor  # the same of the frames of clips
    forgotten: int = 0  # of the row's first messages, left out as they did not fit

    @property
    def tokens(self) -> int:
        """Positions."""
        return len(self.ids)

    @property
    def text_count(self) -> int:
        """Places at which text is learnt."""
        return int((self.text_targets != IGNORED).sum())


class ExampleWriter:
    """Writes the rows of one checkpoint, whose encoders are frozen."""

    def __init__(
        self,
        tokenizer: OmniTokenizer,
        config: OmniConfig,
        media: MediaSlots,
        max_tokens: int = MOST_TOKENS,
        feature_dtype: torch.dtype = torch.float32,
    ) -> None:
        """
        Args:
            media: reads the files; :class:`finetune.lora.data.media.CachedMedia` for training.
            max_tokens: positions that an example may have.
            feature_dtype: of what the tower gives.
        """
        self.config = config
        self.feature_dtype = feature_dtype
        self.special = tokenizer.special
        self.max_tokens = max_tokens
        self._builder = PromptBuilder(tokenizer, config, MOST_TOKENS, media)
        self._end_frame = np.array(config.audio.codebook_sizes, np.int64)

    @classmethod
    def of_model(
        cls,
        model: OmniForCausalLM,
        tokenizer: OmniTokenizer,
        max_tokens: int,
        cache: MediaCache | None = None,
    ) -> ExampleWriter:
        """A writer whose media are encoded by ``model``, each once; its towers must be there."""
        media = CachedMedia(model.config, FrozenEncoders(model), cache or MediaCache())
        dtype = model.model.visual_model.patch_embed.proj.weight.dtype
        return cls(tokenizer, model.config, media, max_tokens, dtype)

    def prompts(self, row: Row) -> list[Prompt]:
        """What stands before the messages, then each message.

        Raises:
            MediaError: a file cannot be used.
            ConversationError: it is too long for anything.
        """
        said = row.conversation
        if row.form == "transcription":
            return transcription_prompts(self._builder, said)
        if row.form == "reading":
            return reading_prompts(self._builder, said)
        opening = self._builder.opening(said, row.speech)
        return [opening, *map(self._builder.message, said.messages)]

    def first(self, row: Row, sizes: list[int]) -> int:
        """The number of the first message that is kept, where ``sizes`` are those of the prompts.

        As for a conversation that is too long, whole exchanges go, the oldest first.

        Raises:
            RefusedError: the last exchange alone is too long.
        """
        head, *tokens = sizes
        messages = row.conversation.messages
        starts = [n for n, message in enumerate(messages) if n == 0 or message.role == "user"]
        for start in starts:
            if head + sum(tokens[start:]) <= self.max_tokens:
                return start
        least = head + sum(tokens[starts[-1] :])
        raise RefusedError(
            f"It has {least} tokens in its last exchange and {self.max_tokens} are read: shorten "
            "its texts and media, or allow more tokens."
        )

    def check_learnt(self, row: Row, first: int) -> None:
        """Refuse a row of which only what is not learnt is kept.

        Raises:
            RefusedError: all its answers that are learnt stand before message ``first``.
        """
        messages = list(enumerate(row.conversation.messages))[first:]
        if not any(m.role == "assistant" and n not in row.silent for n, m in messages):
            raise RefusedError(
                f"What is to be learnt stands in its first {first} messages, which do not fit."
            )

    def write(self, row: Row) -> Example:
        """The row as an example.

        Raises:
            RefusedError: it does not fit, or nothing that is learnt does.
            MediaError: a file cannot be used.
            ConversationError: it is too long for anything.
        """
        opening, *prompts = self.prompts(row)
        first = self.first(row, [opening.tokens, *(prompt.tokens for prompt in prompts)])
        self.check_learnt(row, first)
        draft = _Draft(self, row.form)
        draft.add(opening)
        for number, prompt in enumerate(prompts[first:], first):
            by_assistant = row.conversation.messages[number].role == "assistant"
            draft.add(prompt, learnt=by_assistant and number not in row.silent)
        return draft.finish(row.name, first)

    def frames_of(self, slot: CodesSlot) -> np.ndarray:
        """int64 (frames + 1, codebooks): a piece of speech and the end frame."""
        return np.concatenate([slot.codes.astype(np.int64), self._end_frame[None]])


class _Draft:
    """An example while it is put together."""

    def __init__(self, writer: ExampleWriter, form: Form) -> None:
        self._writer, self._form = writer, form
        self._ids: list[int] = []
        self._codes: list[np.ndarray] = []
        self._images: list[torch.Tensor] = []
        self._frames: list[torch.Tensor] = []
        self._frame_places: list[int] = []
        self._frame_targets: list[np.ndarray] = []
        self.targets: list[int] = []

    def add(self, prompt: Prompt, learnt: bool = False) -> None:
        """A message; ``learnt``: the assistant is to produce it."""
        start = len(self._ids)
        self._ids += prompt.ids
        self.targets += [IGNORED] * len(prompt.ids)
        for slot in prompt.media:
            if isinstance(slot, CodesSlot):
                self._codes.append(slot.codes.astype(np.int64))
            elif isinstance(slot, SeenPicture):
                self._images.append(slot.features)
            elif isinstance(slot, SeenFrame):
                self._frames.append(slot.features)
            else:
                raise TypeError(f"{type(slot).__name__}: media are encoded before they are learnt")
        if learnt:
            self._learn(prompt, start)

    def _learn(self, prompt: Prompt, start: int) -> None:
        special = self._writer.special
        speech = (slot for slot in prompt.media if isinstance(slot, CodesSlot))
        # Behind the marks that open the message; the published forms have none.
        begun = self._form == "transcription"
        for offset, token in enumerate(prompt.ids):
            place = start + offset
            if begun and token not in (special.audio_pad, special.audiogen_end):
                self.targets[place - 1] = token
            if token == special.audiogen_start and (begun or self._form == "reading"):
                frames = self._writer.frames_of(next(speech))
                self._frame_places += range(place, place + len(frames))
                self._frame_targets.append(frames)
            begun = begun or token == special.assistant
        if self._form != "reading":  # which is given its text, and whose speech just ends
            self.targets[-1] = special.end_of_text

    def finish(self, name: str, forgotten: int) -> Example:
        """All of it as tensors."""
        config = self._writer.config
        codebooks = config.audio.num_codebooks
        return Example(
            name=name,
            ids=torch.tensor(self._ids),
            text_targets=torch.tensor(self.targets),
            codes=_packed(self._codes, codebooks),
            frame_places=torch.tensor(self._frame_places, dtype=torch.long),
            frame_targets=_packed(self._frame_targets, codebooks),
            image_features=self._features(self._images),
            video_features=self._features(self._frames),
            forgotten=forgotten,
        )

    def _features(self, pictures: list[torch.Tensor]) -> torch.Tensor:
        if pictures:
            return torch.cat(pictures)
        width = self._writer.config.visual.embed_dim
        return torch.zeros(0, width, dtype=self._writer.feature_dtype)


def _packed(rows: list[np.ndarray], codebooks: int) -> torch.Tensor:
    if not rows:
        return torch.zeros(0, codebooks, dtype=torch.long)
    return torch.from_numpy(np.concatenate(rows))
