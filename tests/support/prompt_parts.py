"""Conversations in short, and prompts as readable text, for tests of prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from omni.config import OmniConfig
from omni.conversation import Conversation, Message, Part, SystemPrompt
from omni.prompting.slots import Prompt
from omni.prompting.tokenizer import OmniTokenizer
from tests.support.media_files import tone, write_clip, write_sound

CONFIG = OmniConfig(
    max_position_embeddings=4000,
    visual_config={"max_pixels": 12_544},
    video_config={"max_pixels": 7056, "max_frame_num": 3},
    audio_config={"vq_config": {"codebook_sizes": [16, 8]}},
)
CODES = np.array([[15, 7], [0, 0], [3, 4]], np.int32)
SECOND = 12  # codes of a second of sound


def user(*parts: Part) -> Message:
    return Message("user", parts)


def spoken(*parts: Part) -> Message:
    return Message("assistant", parts, spoken=True)


def talk(*messages: Message, **system: object) -> Conversation:
    return Conversation(SystemPrompt(**{"text": "", **system}), messages)  # type: ignore[arg-type]


def shown(prompt: Prompt, tokenizer: OmniTokenizer) -> str:
    """The prompt with short names for marks and counted pads."""
    text, pads, previous = [], 0, None
    for token in [*prompt.ids, None]:
        if token != previous and pads:
            text.append(f"*{pads}")
            pads = 0
        previous = token
        if token is None:
            break
        if token in tokenizer.special.pads:
            if not pads:
                text.append(name_of(token, tokenizer))
            pads += 1
        elif token in tokenizer.added_ids:
            text.append(name_of(token, tokenizer))
        else:
            text.append(tokenizer.piece(token))
    return "".join(text)


def name_of(token: int, tokenizer: OmniTokenizer) -> str:
    return (tokenizer.name(token) or "").replace("_baichuan", "")


def kinds(prompt: Prompt) -> list[type]:
    return [type(slot) for slot in prompt.media]


def sentence(text: str, tokenizer: OmniTokenizer) -> str:
    """``text`` as :func:`shown` shows it, byte by byte."""
    return "".join(map(tokenizer.piece, tokenizer.encode(text)))


def write_media(folder: Path) -> Path:
    """second.wav, half.wav, silent.wav, red.png and clip.mp4 (5 s)."""
    write_sound(folder / "second.wav", tone(1.0))
    write_sound(folder / "half.wav", tone(0.5))
    write_sound(folder / "silent.wav", np.zeros(16_000, np.int16))
    Pillow.new("RGB", (84, 56), "red").save(folder / "red.png")
    write_clip(folder / "clip.mp4", np.arange(50) / 10, rate=10)
    return folder
