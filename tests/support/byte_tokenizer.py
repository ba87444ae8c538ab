"""A tokenizer of single bytes with a golden checkpoint's special ids.

It stands in where a golden set has no tokenizer files: media and special tokens come out right,
only the text's own ids are others.
"""

from __future__ import annotations

import json
from pathlib import Path

from omni.config import OmniConfig
from omni.prompting.special_tokens import NAMES
from omni.prompting.tokenizer import OmniTokenizer

# Published ids; every set keeps their distances. The last two are added tokens that no code names.
PUBLISHED = {
    "<|endoftext|>": 151643,
    "<B_SYS>": 151665,
    "<C_Q>": 151667,
    "<C_A>": 151668,
    "<audio_start_baichuan>": 151676,
    "<audio_end_baichuan>": 151677,
    "<audio_pad_baichuan>": 151678,
    "<img_start_baichuan>": 151679,
    "<img_end_baichuan>": 151680,
    "<img_pad_baichuan>": 151681,
    "<video_palce_baichuan>": 151694,
    "<video_start_baichuan>": 151695,
    "<video_end_baichuan>": 151696,
    "<audiotext_start_baichuan>": 151697,
    "<audiotext_end_baichuan>": 151698,
    "<audiotext_pad_baichuan>": 151699,
    "<audiogen_start_baichuan>": 151700,
    "<audiogen_end_baichuan>": 151701,
    "<tool_call>": 151657,
    "<|im_start|>": 151644,
}
assert set(NAMES.values()) <= set(PUBLISHED)


def alphabet() -> dict[str, int]:
    """Byte-level BPE's 256 characters, the byte as the id."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    shown = {byte: chr(byte) for byte in plain}
    shown |= {byte: chr(0x100 + place) for place, byte in enumerate(others)}
    return {shown[byte]: byte for byte in range(256)}


def added_tokens(config: OmniConfig) -> dict[str, int]:
    """Added tokens with the ids that fit ``config``."""
    shift = config.audio.audio_start_token_id - PUBLISHED["<audio_start_baichuan>"]
    return {name: token + shift for name, token in PUBLISHED.items()}


def write_files(folder: Path, added: dict[str, int]) -> None:
    """vocab.json, merges.txt and added_tokens.json; one merge, "a" with "b"."""
    vocabulary = alphabet() | {"ab": 256}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\na b\n", encoding="utf-8")
    (folder / "added_tokens.json").write_text(json.dumps(added), encoding="utf-8")


def byte_tokenizer(folder: Path, config: OmniConfig) -> OmniTokenizer:
    """The tokenizer, written to ``folder`` and read from there."""
    write_files(folder, added_tokens(config))
    return OmniTokenizer.from_folder(folder)
