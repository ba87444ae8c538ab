"""The ids of the tokens that are no text: roles, media marks, pads.

Knows: their names in the published vocabulary, and that two files must agree about their ids.
Does not know: where in a prompt they go (:mod:`omni.prompting.forms`), text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from omni.errors import CheckpointError

if TYPE_CHECKING:
    from omni.config import OmniConfig

# The spelling of video_place is the published one.
NAMES: Mapping[str, str] = {
    "end_of_text": "<|endoftext|>",
    "system": "<B_SYS>",
    "user": "<C_Q>",
    "assistant": "<C_A>",
    "audio_start": "<audio_start_baichuan>",
    "audio_end": "<audio_end_baichuan>",
    "audio_pad": "<audio_pad_baichuan>",
    "image_start": "<img_start_baichuan>",
    "image_end": "<img_end_baichuan>",
    "image_pad": "<img_pad_baichuan>",
    "video_start": "<video_start_baichuan>",
    "video_end": "<video_end_baichuan>",
    "video_place": "<video_palce_baichuan>",
    "audiotext_start": "<audiotext_start_baichuan>",
    "audiotext_end": "<audiotext_end_baichuan>",
    "audiotext_pad": "<audiotext_pad_baichuan>",
    "audiogen_start": "<audiogen_start_baichuan>",
    "audiogen_end": "<audiogen_end_baichuan>",
}


@dataclass(frozen=True)
class SpecialTokens:
    """Ids by meaning."""

    end_of_text: int  # also the pad of batches
    system: int  # before the system text
    user: int  # before a user's turn
    assistant: int  # before an assistant's turn
    audio_start: int
    audio_end: int
    audio_pad: int  # one a code frame, heard or spoken
    image_start: int  # also before each frame of a clip
    image_end: int
    image_pad: int  # one a row of a picture
    video_start: int  # never reaches the model
    video_end: int  # never reaches the model
    video_place: int  # one a row of a clip's frame
    audiotext_start: int  # before an assistant's turn that is to be spoken
    audiotext_end: int
    audiotext_pad: int
    audiogen_start: int  # before a spoken piece
    audiogen_end: int

    @classmethod
    def from_added(cls, added: Mapping[str, int]) -> SpecialTokens:
        """The ids of a tokenizer's added tokens, by name.

        Raises:
            CheckpointError: ``tokens-missing``.
        """
        missing = [name for name in NAMES.values() if name not in added]
        if missing:
            raise CheckpointError(
                "tokens-missing",
                "The tokenizer has no {names}: it is not one of this model's.",
                names=", ".join(missing),
            )
        return cls(**{field: added[name] for field, name in NAMES.items()})

    @property
    def pads(self) -> frozenset[int]:
        """The ids that stand for rows of media: their number must equal that of the rows."""
        return frozenset({self.audio_pad, self.image_pad, self.video_place})

    def check(self, config: OmniConfig) -> None:
        """Whether config.json gives the same ids.

        Neither wins: the model's embeddings were trained with one of the two, and nothing tells
        which, so a contradiction means files of different checkpoints.

        Raises:
            CheckpointError: ``tokens-contradict`` or ``tokens-outside``.
        """
        for field, expected in _configured(config):
            found = getattr(self, field)
            if found != expected:
                raise CheckpointError(
                    "tokens-contradict",
                    "The tokenizer gives {token} the id {found}, config.json {expected}: these "
                    "files are of different checkpoints, fetch them again.",
                    token=NAMES[field],
                    found=found,
                    expected=expected,
                )
        highest = max(asdict(self).values())
        if highest >= config.vocab_size:
            raise CheckpointError(
                "tokens-outside",
                "The tokenizer's id {highest} is outside the model's vocabulary of {size}: these "
                "files are of different checkpoints, fetch them again.",
                highest=highest,
                size=config.vocab_size,
            )


def _configured(config: OmniConfig) -> Iterator[tuple[str, int]]:
    """(field, id) of everything that config.json repeats."""
    groups = (
        (config.audio, ("audio_start", "audio_end", "audio_pad")),
        (config.audio, ("audiotext_start", "audiotext_end", "audiotext_pad")),
        (config.audio, ("audiogen_start", "audiogen_end")),
        (config.visual, ("image_start", "image_end", "image_pad")),
        (config.video, ("image_start", "image_end")),
        (config.video, ("video_start", "video_end", "video_place")),
    )
    for section, names in groups:
        for name in names:
            yield name, getattr(section, f"{name}_token_id")
