"""Text to token ids and back.

Knows: the vocabulary's files, byte-level BPE (by the ``tokenizers`` library), and that text is
only ever text: no text gives the id of an added token, whatever it says.
Does not know: prompts, turns, where special tokens go (:mod:`omni.prompting.writer` writes
those).
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as pre

from omni.errors import CheckpointError
from omni.prompting.special_tokens import SpecialTokens

# The pre-tokenizer of the published vocabulary (that of Qwen2).
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXT = "utf-8-sig"  # of the files: some editors write a byte-order mark
# Half of a UTF-16 pair alone: browsers send it, UTF-8 cannot say it.
_SURROGATE = re.compile("[\ud800-\udfff]")


class OmniTokenizer:
    """A checkpoint's tokenizer.

    ``special``: ids by meaning; ``added_ids``: every id that no text gives; ``size``: ids in all,
    added ones included (the model's table may have more rows).
    """

    def __init__(self, model: Tokenizer, added: Mapping[str, int]) -> None:
        """
        Args:
            model: without added tokens, and without their names in its vocabulary.
            added: id by name.
        """
        self._model = model
        self._names = {token: name for name, token in added.items()}
        self._byte_level = isinstance(model.decoder, decoders.ByteLevel)
        self.special = SpecialTokens.from_added(added)
        self.added_ids = frozenset(added.values())
        text_ids = set(model.get_vocab(with_added_tokens=True).values())
        if self.added_ids & text_ids or len(self._names) < len(added):
            raise _broken("two tokens have the same id")
        self.size = max(self.added_ids | text_ids) + 1

    @classmethod
    def from_folder(cls, folder: Path | str) -> OmniTokenizer:
        """Read vocab.json, merges.txt and added_tokens.json, or else tokenizer.json.

        Raises:
            CheckpointError: ``tokenizer-missing``, ``tokenizer-broken`` or ``tokens-missing``.
        """
        folder = Path(folder)
        parts = [folder / name for name in ("vocab.json", "merges.txt", "added_tokens.json")]
        whole = folder / "tokenizer.json"
        try:
            if all(path.is_file() for path in parts):
                return _from_parts(*parts)
            if whole.is_file():
                return _from_whole(whole)
        except CheckpointError:
            raise
        except Exception as error:  # the library raises bare Exceptions on what it cannot read
            raise _broken(str(error)) from error
        missing = [path.name for path in parts if not path.is_file()]
        raise CheckpointError(
            "tokenizer-missing",
            "The checkpoint's tokenizer is incomplete ({files} missing): fetch it again.",
            files=", ".join(missing),
        )

    def encode(self, text: str) -> list[int]:
        """The ids of ``text`` as text; never one of ``added_ids``."""
        return self._model.encode(_SURROGATE.sub("\ufffd", text), add_special_tokens=False).ids

    def decode(self, ids: Iterable[int], added: bool = False) -> str:
        """The text of ``ids``; bytes that are no character become U+FFFD.

        Args:
            added: whether the names of added tokens are shown; else they are left out.
        """
        stream = TextStream(self, added)
        return "".join([*map(stream.push, ids), stream.finish()])

    def piece(self, token: int) -> str:
        """The text of one id alone; an added token's is its name."""
        return self.decode([token], added=True)

    def stream(self, added: bool = False) -> TextStream:
        """A decoder for ids that come one by one; ``added`` as in :meth:`decode`."""
        return TextStream(self, added)

    def token_bytes(self, token: int) -> bytes:
        """What a text id stands for, UTF-8, perhaps a part of a character; b"" of a spare row."""
        text = self._model.id_to_token(token)
        if text is None:
            return b""
        return bytes(map(_BYTES.__getitem__, text)) if self._byte_level else text.encode()

    def name(self, token: int) -> str | None:
        """An added token's name; None for a text id."""
        return self._names.get(token)


class TextStream:
    """Ids in, whole characters out: the bytes of a character are held back until it is complete."""

    def __init__(self, tokenizer: OmniTokenizer, added: bool = False) -> None:
        self._tokenizer = tokenizer
        self._added = added
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token: int) -> str:
        """The characters that ``token`` completes.

        A name that is left out does not end a character: its other bytes may follow (a text call
        can be cut inside one, with speech in between).
        """
        name = self._tokenizer.name(token)
        if name is None:
            return self._decoder.decode(self._tokenizer.token_bytes(token))
        return self.finish() + name if self._added else ""

    def finish(self) -> str:
        """What is still held back: U+FFFD for a character that never was completed, or nothing."""
        return self._decoder.decode(b"", final=True)


def _from_parts(vocabulary: Path, merges: Path, added: Path) -> OmniTokenizer:
    names: dict[str, int] = json.loads(added.read_text(encoding=TEXT))
    text: dict[str, int] = json.loads(vocabulary.read_text(encoding=TEXT))
    bpe = models.BPE(
        {token: id for token, id in text.items() if token not in names}, _merges(merges)
    )
    model = Tokenizer(bpe)
    model.normalizer = normalizers.NFC()
    model.pre_tokenizer = pre.Sequence(
        [
            pre.Split(Regex(SPLIT), behavior="isolated"),
            pre.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    model.decoder = decoders.ByteLevel()
    return OmniTokenizer(model, names)


def _merges(path: Path) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(path.read_text(encoding=TEXT).split("\n")):
        if line and not (number == 0 and line.startswith("#version")):
            left, right = line.split(" ")
            pairs.append((left, right))
    return pairs


def _from_whole(path: Path) -> OmniTokenizer:
    """tokenizer.json without its added tokens, so that no text is taken for one."""
    content: dict[str, Any] = json.loads(path.read_text(encoding=TEXT))
    names = {token["content"]: int(token["id"]) for token in content["added_tokens"]}
    if content["model"]["type"] != "BPE":
        raise _broken(f"its kind is {content['model']['type']}, not BPE")
    content |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
    vocabulary = content["model"]["vocab"]
    content["model"]["vocab"] = {t: id for t, id in vocabulary.items() if t not in names}
    return OmniTokenizer(Tokenizer.from_str(json.dumps(content)), names)


def _byte_alphabet() -> dict[str, int]:
    """The byte of each character of byte-level BPE.

    Printable Latin-1 stands for itself, the other bytes in order for U+0100 and on. Source: GPT-2.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    alphabet = {chr(byte): byte for byte in printable}
    return alphabet | {chr(0x100 + place): byte for place, byte in enumerate(others)}


_BYTES = _byte_alphabet()


def _broken(reason: str) -> CheckpointError:
    return CheckpointError(
        "tokenizer-broken",
        "The checkpoint's tokenizer cannot be read ({reason}): fetch it again.",
        reason=reason,
    )
