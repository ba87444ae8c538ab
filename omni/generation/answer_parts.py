"""What a run has said so far, as the parts of its message: text and speech, one after the other.

Knows: how ids become whole characters and frames become codes. Does not know: the context, when
a part ends.
"""

from __future__ import annotations

import numpy as np

from omni.conversation import Part, Speech, Text
from omni.generation.protocols import Tokenizer


class AnswerParts:
    """Grows by one id or one frame; the part under way is counted once it is closed."""

    def __init__(self, tokenizer: Tokenizer, codebooks: int) -> None:
        self._stream = tokenizer.stream()
        self._codebooks = codebooks
        self._parts: list[Part] = []
        self._text: list[str] = []
        self._ids: list[int] = []
        self._frames: list[np.ndarray] | None = None  # None: not speaking

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that are closed."""
        return tuple(self._parts)

    def show(self, token: int) -> str:
        """Take an id of a text; the whole characters that it completes."""
        self._ids.append(token)
        text = self._stream.push(token)
        self._text.append(text)
        return text

    def drop_id(self) -> bool:
        """Take the last id back, if there is one; its characters were shown and stay."""
        if self._ids:
            self._ids.pop()
            return True
        return False

    def close_text(self) -> None:
        """End the text, if there is one."""
        if self._ids or self._text:
            self._parts.append(Text("".join(self._text), tuple(self._ids)))
        self._text, self._ids = [], []

    def speak(self) -> None:
        """Begin to speak."""
        self._frames = []

    @property
    def frames(self) -> int | None:
        """Frames of the speech that is under way; None: none is."""
        return None if self._frames is None else len(self._frames)

    def add(self, codes: np.ndarray) -> None:
        """Take a frame of speech: int (codebooks,)."""
        assert self._frames is not None
        self._frames.append(codes)

    def drop_frame(self) -> None:
        """Take the last frame back."""
        assert self._frames
        self._frames.pop()

    def close_speech(self, keep: bool = True) -> None:
        """End the speech; ``keep`` False: it is forgotten."""
        frames, self._frames = self._frames, None
        if keep and frames is not None:
            codes = np.array(frames, np.int32).reshape(-1, self._codebooks)
            self._parts.append(Speech(codes))
