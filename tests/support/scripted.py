"""A model that says what a script tells it to, with bytes for text: for tests of the loop.

The cache holds what was fed, as numbers: an id as itself, a frame of codes as minus its first code
minus one. Nothing here computes; every call checks that it is one the loop may make.
"""

from __future__ import annotations

import codecs
import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from omni.conversation import Text
from omni.events import AudioFrame, Finished, SegmentEnd, TextDelta
from omni.generation.loop import GenerationLoop, GenerationRun
from omni.options import GenerationOptions, Sampling
from omni.prompting.slots import Prompt

AUDIO_START, AUDIO_END, AUDIO_PAD, IMAGE_PAD, VIDEO_PLACE = 256, 257, 258, 259, 260
SPEAK, SPOKEN, END, OTHER = 261, 262, 263, 264
ADDED = frozenset(range(256, 265))
SIZE = 265  # ids; the model's table has a few more rows
ROWS = 270
CODEBOOKS = (4, 3)
END_FRAME = (4, 0)


class ByteTokenizer:
    """Ids 0 to 255 are bytes; ADDED are special."""

    special = SimpleNamespace(
        audio_start=AUDIO_START,
        audio_end=AUDIO_END,
        audio_pad=AUDIO_PAD,
        image_pad=IMAGE_PAD,
        video_place=VIDEO_PLACE,
        pads=frozenset({AUDIO_PAD, IMAGE_PAD, VIDEO_PLACE}),
        audiogen_start=SPEAK,
        audiogen_end=SPOKEN,
        end_of_text=END,
    )
    added_ids = ADDED
    size = SIZE

    def piece(self, token: int) -> str:
        if token in ADDED:
            return f"<{token}>"
        return bytes([token]).decode("utf-8", errors="replace")

    def stream(self) -> Any:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        return SimpleNamespace(
            push=lambda token: "" if token in ADDED else decoder.decode(bytes([token]))
        )


class FakeSound:
    """A piece of sound that the model hears as one frame, of ``code``."""

    bridge_length = 1

    def __init__(self, code: int) -> None:
        self.code = code
        self.mel = torch.full((2, 10), float(code))

    def __repr__(self) -> str:
        return str(self.code)


class FakePicture:
    """A picture that the model sees as one row, ``value``."""

    grid = (2, 2)

    def __init__(self, value: int) -> None:
        self.value = value
        self.patches = torch.full((4, 3), float(value))

    def __repr__(self) -> str:
        return str(self.value)


Sound: Any = FakeSound
Picture: Any = FakePicture


class ScriptedModel:
    """Says ``script``: an id (or ids, best first) for text, a tuple of codes for a frame.

    ``fed`` is the content of the cache.
    """

    def __init__(self, script: Sequence[Any]) -> None:
        self.script = list(script)
        self.config = SimpleNamespace(
            max_position_embeddings=1000,
            vocab_size=ROWS,
            audio=SimpleNamespace(codebook_sizes=CODEBOOKS, num_codebooks=len(CODEBOOKS)),
        )
        self.audio_head = SimpleNamespace(generate=self._frame)
        self.table = nn.Embedding.from_pretrained(torch.arange(ROWS).float()[:, None])
        self.cache: Any = None
        self.encoder_layers: list[nn.Module] = []
        self.calls: list[str] = []

    @property
    def fed(self) -> list[int]:
        if self.cache is None or not self.cache.get_seq_length():
            return []
        return self.cache.layers[0].keys[0, 0, :, 0].int().tolist()

    def get_input_embeddings(self) -> nn.Embedding:
        return self.table

    def new_key_values(self) -> None:
        """None: what is fed is read from transformers' cache."""

    def embed(
        self,
        input_ids: Tensor,
        audio_codes: Tensor | None = None,
        image_rows: Tensor | None = None,
        video_rows: Tensor | None = None,
    ) -> Tensor:
        embeds = self.table(input_ids)
        codes = None if audio_codes is None else self.embed_codes(audio_codes)
        pads = ((AUDIO_PAD, codes), (IMAGE_PAD, image_rows), (VIDEO_PLACE, video_rows))
        for pad, rows in pads:
            if rows is not None:
                embeds[input_ids == pad] = rows
        return embeds

    def embed_codes(self, codes: Tensor) -> Tensor:
        return -1.0 - codes[..., :1].float()

    def encode_audio(self, pieces: Sequence[Any]) -> list[Tensor]:
        self.calls.append(f"audio {list(pieces)}")
        return [torch.tensor([[piece.code, 0]]) for piece in pieces]

    def encode_images(self, images: Sequence[Any]) -> Tensor:
        self.calls.append(f"images {list(images)}")
        return torch.tensor([[float(image.value)] for image in images])

    def hidden(self, embeds: Tensor, past_key_values: Any) -> Tensor:
        assert embeds.shape[0] == 1
        self.cache = past_key_values
        past_key_values.update(embeds[:, None], embeds[:, None], 0)
        return embeds

    def lm_head(self, hidden: Tensor) -> Tensor:
        assert hidden.shape == (1, 1)
        said = self.script.pop(0)
        assert not isinstance(said, tuple), f"text asked for, not {said}"
        return preferred(said, ROWS)

    def _frame(self, hidden: Tensor, pick: Callable[[int, Tensor], Tensor]) -> Tensor:
        assert hidden.shape == (1, 1)
        said = self.script.pop(0)
        assert isinstance(said, tuple), f"a frame asked for, not {said}"
        sizes = (CODEBOOKS[0] + 1, *CODEBOOKS[1:])
        codes = [pick(j, preferred(code, sizes[j])) for j, code in enumerate(said)]
        return torch.stack(codes, dim=1)


def preferred(best: int | list[int], size: int) -> Tensor:
    """Scores (1, size) whose order begins with ``best``; far apart, so that draws follow it."""
    scores = torch.full((1, size), -200.0)
    for rank, index in enumerate([best] if isinstance(best, int) else best):
        scores[0, index] = 200.0 - 50 * rank
    return scores


def said(text: str) -> list[int]:
    """A script that writes ``text``."""
    return list(text.encode())


PROMPT = Prompt([104, 105])
A, B, C = (0, 1), (1, 2), (2, 0)  # frames
PAD = AUDIO_PAD
DEFAULT = GenerationOptions(seed=1)
GREEDY = Sampling(1.0, 0, 1.0, 1.0, 50, greedy=True)


def start(
    script: list[Any],
    options: GenerationOptions = DEFAULT,
    stop: threading.Event | None = None,
    max_context: int | None = None,
) -> tuple[ScriptedModel, GenerationRun]:
    model = ScriptedModel(script)
    loop = GenerationLoop(model, ByteTokenizer(), max_context)
    return model, loop.run(PROMPT, options, stop)


def run(script: list[Any], options: GenerationOptions = DEFAULT, **more: Any) -> list[Any]:
    return list(start(script, options, **more)[1])


def words(events: list[Any]) -> list[Any]:
    """Events as plain values: text in pieces as it came between the frames, frames as tuples."""
    result: list[Any] = []
    for event in events:
        if isinstance(event, TextDelta):
            if result and isinstance(result[-1], str):
                result[-1] += event.text
            else:
                result.append(event.text)
        elif isinstance(event, AudioFrame):
            result.append(tuple(event.codes.tolist()))
        elif isinstance(event, SegmentEnd):
            result.append(None)
        else:
            result.append([event.reason])
    return result


def history(parts: tuple[Any, ...]) -> list[int]:
    """The ids that a history with these parts has behind the prompt."""
    ids: list[int] = []
    for part in parts:
        if isinstance(part, Text):
            ids += part.ids or ()
        else:
            ids += [SPEAK, *[PAD] * len(part.codes), SPOKEN]
    return ids


def finished(events: list[Any]) -> Finished:
    assert isinstance(events[-1], Finished)
    assert not any(isinstance(event, Finished) for event in events[:-1])
    return events[-1]
