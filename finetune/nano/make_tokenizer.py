"""Make the embedded checkpoint's tokenizer.json: byte-level BPE over a small domain.

Run ``python -m finetune.nano.make_tokenizer`` to write it again, and its ids into config.json and
generation_config.json beside it (weights trained with the ids before are then of no use).
Knows: the published tokenizer's rules (normal form, pre-tokenizer, added tokens by name).
Does not know: the words (:mod:`finetune.nano.domain.vocabulary`), weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers.trainers import BpeTrainer

from finetune.nano.domain.vocabulary import english_words, hanzi, punctuation
from omni.loading.nano import NANO_FOLDER

ROWS_MULTIPLE = 64  # of the embedding
END_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")
ID_SUFFIX = "_token_id"
_SPELLED = {
    "image_start": "img_start",
    "image_end": "img_end",
    "image_pad": "img_pad",
    "image_line": "img_newline",
    "image_delimiter": "img_delim",
    "video_place": "video_palce",
}
ENOUGH = 4096  # tokens; the training stops earlier, with every entry of the corpus one token
# The pre-tokenizer of the published vocabulary.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# In the published order. The names are what the program looks ids up by.
_SPECIAL = """
<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|>
<|box_end|> <|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|>
<|image_pad|> <|video_pad|>
"""
_PLAIN = """
<tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|>
<|file_sep|>
"""
_OMNI = """
<B_SYS> <B_USYS> <C_Q> <C_A> <B_FUNC> <B_CODE> <B_APE> <function_calling> <calc_start> <calc_end>
<inner_think> <audio_start_baichuan> <audio_end_baichuan> <audio_pad_baichuan>
<img_start_baichuan> <img_end_baichuan> <img_pad_baichuan> <img_newline_baichuan>
<box_start_baichuan> <box_end_baichuan> <box_delim_baichuan> <ref_start_baichuan>
<ref_end_baichuan> <img_delim_baichuan> <polygon_start_baichuan> <polygon_end_baichuan>
<baichuan_pad_token> <reserved_113> <audio_delim_baichuan> <video_palce_baichuan>
<video_start_baichuan> <video_end_baichuan> <audiotext_start_baichuan> <audiotext_end_baichuan>
<audiotext_pad_baichuan> <audiogen_start_baichuan> <audiogen_end_baichuan>
"""
ADDED_TOKENS: tuple[str, ...] = tuple(f"{_SPECIAL} {_PLAIN} {_OMNI}".split())


def corpus() -> list[str]:
    """One entry a line, so that nothing merges across entries; Hanzi first by repetition.

    An English word is wanted both ways: behind a space and at the beginning of an answer.
    """
    single = [char for char in (*hanzi(), *punctuation()) for _ in range(100)]
    words = [form for word in english_words() for form in (*(f" {word}",) * 3, word)]
    return [*single, *words]


def build() -> Tokenizer:
    """The tokenizer: 256 bytes, merges until every entry is one token, the added tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre.Sequence(
        [
            pre.Split(Regex(SPLIT), behavior="isolated"),
            pre.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=ENOUGH,
        initial_alphabet=sorted(pre.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    plain = _PLAIN.split()
    for name in ADDED_TOKENS:
        special = name not in plain
        tokenizer.add_tokens([AddedToken(name, special=special, normalized=False)])
    return tokenizer


def token_ids(tokenizer: Tokenizer, config: dict[str, Any]) -> dict[str, Any]:
    """``config`` (of config.json) with the ids and the vocabulary size of ``tokenizer``."""
    config = dict(config)
    rows = -(-tokenizer.get_vocab_size() // ROWS_MULTIPLE) * ROWS_MULTIPLE
    end = tokenizer.token_to_id("<|endoftext|>")
    config |= {"vocab_size": rows, **dict.fromkeys(END_KEYS, end)}
    for section in ("audio_config", "visual_config", "video_config"):
        config[section] = {
            key: tokenizer.token_to_id(_added_name(key)) if key.endswith(ID_SUFFIX) else value
            for key, value in config[section].items()
        }
    return config


def _added_name(key: str) -> str:
    """``image_pad_token_id`` -> ``<img_pad_baichuan>``: two files spell some names differently."""
    name = key.removesuffix(ID_SUFFIX)
    return f"<{_SPELLED.get(name, name)}_baichuan>"


def main() -> None:
    """Write the tokenizer, and its ids into the two configs beside it."""
    tokenizer = build()
    tokenizer.save(str(NANO_FOLDER / "tokenizer.json"), pretty=False)
    config = json.loads((NANO_FOLDER / "config.json").read_text(encoding="utf-8"))
    _write(NANO_FOLDER / "config.json", token_ids(tokenizer, config))
    generation = json.loads((NANO_FOLDER / "generation_config.json").read_text(encoding="utf-8"))
    end = tokenizer.token_to_id("<|endoftext|>")
    _write(NANO_FOLDER / "generation_config.json", generation | dict.fromkeys(END_KEYS, end))
    print(f"{NANO_FOLDER}: {tokenizer.get_vocab_size()} tokens")


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
