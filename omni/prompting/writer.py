"""One prompt while it is written: ids, and the media that stand at their pads.

Knows: which marks and pads stand around which slot, the longest prompt; it is the only place that
writes the marks of media, and text it writes as text, whatever it says.
Does not know: what stands where in a conversation (:mod:`omni.prompting.forms`), files.
"""

from __future__ import annotations

from collections.abc import Iterable

from omni.config import OmniConfig
from omni.conversation import Text
from omni.errors import ConversationError
from omni.prompting.slots import AudioSlot, CodesSlot, FrameSlot, ImageSlot, Prompt, Slot
from omni.prompting.tokenizer import OmniTokenizer

# A text longer than this for each token of the context cannot fit; encoding it would take minutes.
CHARACTERS_PER_TOKEN = 16


class PromptWriter:
    """Writes one prompt, part by part. Text is encoded part by part and never crosses media.

    Every method raises ConversationError ``conversation-long`` once there are too many ids.
    """

    def __init__(
        self, tokenizer: OmniTokenizer, config: OmniConfig, max_tokens: int, used: int = 0
    ) -> None:
        """
        Args:
            max_tokens: ids that the context may have.
            used: ids that stand in the context before this prompt.
        """
        self.special = tokenizer.special
        self._tokenizer = tokenizer
        self._merged_patches = config.visual.merged_patches
        self._max_tokens = max_tokens
        self._used = used
        self._ids: list[int] = []
        self._media: list[Slot] = []

    @property
    def tokens(self) -> int:
        """Ids written so far."""
        return len(self._ids)

    def since(self, start: int) -> list[int]:
        """The ids from place ``start`` on."""
        return self._ids[start:]

    def finish(self) -> Prompt:
        """The prompt so far."""
        return Prompt(list(self._ids), tuple(self._media))

    def mark(self, *tokens: int) -> None:
        """Special tokens."""
        self._extend(tokens)

    def text(self, text: str) -> None:
        """Text as text, whatever it says."""
        check_characters(text, self._max_tokens)
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

    def sound(self, slot: AudioSlot | CodesSlot) -> None:
        """Sound that the model hears."""
        self._sound(slot, self.special.audio_start, self.special.audio_end)

    def speech(self, slot: AudioSlot | CodesSlot) -> None:
        """Speech of the assistant."""
        self._sound(slot, self.special.audiogen_start, self.special.audiogen_end)

    def picture(self, slot: ImageSlot | FrameSlot) -> None:
        """A picture, or a frame of a clip; the marks of a whole clip never reach the model."""
        pad = self.special.image_pad if isinstance(slot, ImageSlot) else self.special.video_place
        rows = slot.image.grid[0] * slot.image.grid[1] // self._merged_patches
        self._media.append(slot)
        self._extend([self.special.image_start, *[pad] * rows, self.special.image_end])

    def _sound(self, slot: AudioSlot | CodesSlot, start: int, end: int) -> None:
        self._media.append(slot)
        self._extend([start, *[self.special.audio_pad] * slot.frames, end])

    def _extend(self, ids: Iterable[int]) -> None:
        """Checked part by part, so that what cannot be read is not decoded either."""
        self._ids.extend(ids)
        tokens = self._used + len(self._ids)
        if tokens > self._max_tokens:
            raise too_long(tokens, self._max_tokens)


def check_characters(text: str, max_tokens: int) -> None:
    """Refuse a text that is too long to be worth encoding.

    Raises:
        ConversationError: ``conversation-long``.
    """
    if len(text) > CHARACTERS_PER_TOKEN * max_tokens:
        raise too_long(max_tokens + 1, max_tokens)


def too_long(tokens: int, limit: int) -> ConversationError:
    """``conversation-long``: a prompt of ``tokens`` ids where ``limit`` are read."""
    return ConversationError(
        "conversation-long",
        "The conversation has {tokens} tokens or more and the model reads {limit}: begin a new "
        "one, or give shorter media and texts.",
        tokens=tokens,
        limit=limit,
    )
