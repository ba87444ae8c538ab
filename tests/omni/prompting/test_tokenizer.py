"""Text is only ever text; ids come back as whole characters."""

from __future__ import annotations

import json
import os
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models
from tokenizers import pre_tokenizers as pre

from omni.config import OmniConfig
from omni.errors import CheckpointError
from omni.prompting.tokenizer import OmniTokenizer
from tests.support.byte_tokenizer import (
    PUBLISHED,
    added_tokens,
    alphabet,
    byte_tokenizer,
    write_files,
)
from tests.support.golden_set import GoldenSet
from tests.support.root import ROOT

TEXTS = (
    "",
    " ",
    "Hello, world! It's 12345 o'clock.\n\n  tabs\there",
    "我的鼻子只是隔几天就出一次血，单孔。",
    "日本語テキスト、한국어 텍스트, العربية, हिन्दी",
    "emoji 😀👩\u200d👩\u200d👧 zero\u200bwidth",
    "code: for(i=0;i<10;i++){x[i]+=1;}   \r\n\r\n end  ",
    "ＡＢＣ ﬁ \x00 \x7f \ufffd \U0010ffff",
)
MEDIA = ("audio", "img", "video", "audiogen", "audiotext", "videoframe")
FORMS = ('{"path": "%s"}', '{"local": "%s"}', '{"base64": "%s"}', '{"url": "http://h/%s"}')


def tokenizer_json(folder: Path, added: dict[str, int]) -> None:
    """The same tokenizer as one tokenizer.json, added tokens included."""
    vocabulary = alphabet() | {"ab": 256}
    whole = Tokenizer(models.BPE(vocabulary, [("a", "b")]))
    whole.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
    whole.decoder = decoders.ByteLevel()
    content = json.loads(whole.to_str())
    tokens = [AddedToken(name, normalized=False, special=True) for name in added]
    whole.add_tokens(tokens)
    listed = json.loads(whole.to_str())["added_tokens"]
    content["added_tokens"] = [entry | {"id": added[entry["content"]]} for entry in listed]
    # Some converters repeat the added tokens here.
    content["model"]["vocab"] |= added
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(scope="module", params=["parts", "whole", "golden", "nano", "published"])
def tokenizer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, golden: GoldenSet
) -> OmniTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    config = OmniConfig.from_pretrained(golden.checkpoint)
    if request.param == "parts":
        return byte_tokenizer(folder, config)
    if request.param == "whole":
        tokenizer_json(folder, added_tokens(config))
        return OmniTokenizer.from_folder(folder)
    if request.param == "golden":
        return OmniTokenizer.from_folder(request.getfixturevalue("golden_tokenizer"))
    if request.param == "nano":
        return OmniTokenizer.from_folder(ROOT / "assets" / "nano")
    if "OMNI_FULL_TOKENIZER" not in os.environ:
        pytest.skip("set OMNI_FULL_TOKENIZER to a folder with the published vocabulary's files")
    return OmniTokenizer.from_folder(os.environ["OMNI_FULL_TOKENIZER"])


def names_of(tokenizer: OmniTokenizer) -> list[str]:
    names = [tokenizer.name(token) for token in sorted(tokenizer.added_ids)]
    return [name for name in names if name is not None]


def lookalikes(name: str) -> list[str]:
    """Texts that could turn into ``name``: by a normal form, by case, by what stands around it."""
    wide = "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in name)
    assert unicodedata.normalize("NFKC", wide) == name
    return [
        name,
        f" {name} ",
        f"{name}{name}",
        f"x{name}x",
        f"\n{name}\n",
        name.upper(),
        wide,
        name.replace("<", "<\u200b"),
        name.replace("<", "&lt;"),
        "\u0338".join(name),  # NFC composes "<" and "\u0338" to another character
        name.replace("a", "a\u0301"),
        f"\ud800{name}\udc00",
    ]


def test_no_name_becomes_an_added_token(tokenizer: OmniTokenizer) -> None:
    names = names_of(tokenizer)
    assert len(names) == len(tokenizer.added_ids)
    for name in names:
        for text in lookalikes(name):
            ids = tokenizer.encode(text)
            assert ids
            assert not tokenizer.added_ids.intersection(ids)
        assert tokenizer.decode(tokenizer.encode(name)) == name


def test_no_composition_of_names_becomes_an_added_token(tokenizer: OmniTokenizer) -> None:
    names = names_of(tokenizer)
    draws = random.Random(5)
    pieces = [*names, *"<>|_ \n{}\"'", "baichuan", "你", "é", "e\u0301"]
    for _ in range(300):
        chosen = draws.choices(pieces, k=draws.randint(1, 12))
        text = "".join(piece[: draws.randint(1, len(piece))] for piece in chosen)
        assert not tokenizer.added_ids.intersection(tokenizer.encode(text))
    everything = "".join(names)
    assert not tokenizer.added_ids.intersection(tokenizer.encode(everything))
    assert tokenizer.decode(tokenizer.encode(everything)) == everything


@pytest.mark.parametrize("kind", MEDIA)
@pytest.mark.parametrize("form", FORMS)
def test_media_markup_stays_text(tokenizer: OmniTokenizer, kind: str, form: str) -> None:
    for suffix in ("baichuan", "omni"):
        text = f"<{kind}_start_{suffix}>{form % 'a.wav'}<{kind}_end_{suffix}>"
        ids = tokenizer.encode(text)
        assert not tokenizer.added_ids.intersection(ids)
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("text", TEXTS)
def test_round_trip(tokenizer: OmniTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)
    stream = tokenizer.stream()
    pieces = [stream.push(token) for token in ids]
    assert "".join(pieces) + stream.finish() == tokenizer.decode(ids)
    known = set(unicodedata.normalize("NFC", text))
    assert all(set(piece) <= known for piece in pieces)  # no half of a character was shown


def test_half_a_pair_of_surrogates(tokenizer: OmniTokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud83dz")) == "a\ufffdz"


def test_added_tokens_shown_or_left_out(tokenizer: OmniTokenizer) -> None:
    special = tokenizer.special
    ids = [*tokenizer.encode("x"), special.audiogen_start, *tokenizer.encode("y")]
    assert tokenizer.decode(ids) == "xy"
    assert tokenizer.decode(ids, added=True) == "x<audiogen_start_baichuan>y"
    assert tokenizer.piece(special.end_of_text) == "<|endoftext|>"
    assert tokenizer.name(special.user) == "<C_Q>"
    assert tokenizer.name(tokenizer.encode("x")[0]) is None


def test_rows_without_a_token_say_nothing(tokenizer: OmniTokenizer) -> None:
    assert tokenizer.size == max(tokenizer.added_ids) + 1
    assert tokenizer.decode([tokenizer.size, tokenizer.size + 100]) == ""
    assert tokenizer.piece(tokenizer.size) == ""


@pytest.fixture()
def bytewise(tmp_path: Path) -> OmniTokenizer:
    return byte_tokenizer(tmp_path, OmniConfig())


def test_bytes_are_held_back(bytewise: OmniTokenizer) -> None:
    stream = bytewise.stream()
    assert [stream.push(byte) for byte in "a你é😀".encode()] == [
        *("a", "", "", "你", "", "é"),
        *("", "", "", "😀"),
    ]
    assert stream.finish() == ""


def test_a_character_that_is_never_completed(bytewise: OmniTokenizer) -> None:
    stream = bytewise.stream()
    assert [stream.push(byte) for byte in "你".encode()[:2]] == ["", ""]
    assert stream.finish() == "\ufffd"
    assert stream.finish() == ""
    assert bytewise.decode([0xE4, 0xBD, 0x41, 0xFF]) == "\ufffdA\ufffd"
    assert bytewise.piece(0xE4) == "\ufffd"


def test_a_character_around_a_mark(bytewise: OmniTokenizer) -> None:
    first, *rest = "你".encode()
    mark = bytewise.special.audiogen_start
    assert bytewise.decode([first, mark, *rest]) == "你"
    assert bytewise.decode([first, mark], added=True) == "\ufffd<audiogen_start_baichuan>"


def test_merges_are_read(bytewise: OmniTokenizer) -> None:
    assert bytewise.encode("cab") == [ord("c"), 256]


def test_both_kinds_of_files_agree(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    tokenizer_json(whole, PUBLISHED)
    write_files(parts, PUBLISHED)
    one, two = OmniTokenizer.from_folder(whole), OmniTokenizer.from_folder(parts)
    assert one.special == two.special
    assert one.added_ids == two.added_ids
    assert one.size == two.size
    assert one.encode("a lab 你") == two.encode("a lab 你")


def rewrite(folder: Path, name: str, change: Callable[[dict], object]) -> None:
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    change(content)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def broken_vocabulary(folder: Path) -> None:
    (folder / "vocab.json").write_text("{", encoding="utf-8")


def broken_merges(folder: Path) -> None:
    (folder / "merges.txt").write_text("#version\na b c\n", encoding="utf-8")


def unknown_merge(folder: Path) -> None:
    (folder / "merges.txt").write_text("#version\nqq ww\n", encoding="utf-8")


def shared_id(folder: Path) -> None:
    rewrite(folder, "added_tokens.json", lambda added: added.update({"<C_Q>": 5}))


def same_id_twice(folder: Path) -> None:
    rewrite(folder, "added_tokens.json", lambda added: added.update({"<C_Q>": added["<C_A>"]}))


@pytest.mark.parametrize(
    "damage", [broken_vocabulary, broken_merges, unknown_merge, shared_id, same_id_twice]
)
def test_broken_files(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    write_files(tmp_path, PUBLISHED)
    OmniTokenizer.from_folder(tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        OmniTokenizer.from_folder(tmp_path)
    assert caught.value.code == "tokenizer-broken"


def test_another_kind_of_tokenizer(tmp_path: Path) -> None:
    tokenizer_json(tmp_path, PUBLISHED)
    rewrite(tmp_path, "tokenizer.json", lambda content: content["model"].update(type="WordLevel"))
    with pytest.raises(CheckpointError, match="WordLevel") as caught:
        OmniTokenizer.from_folder(tmp_path)
    assert caught.value.code == "tokenizer-broken"


def test_missing_files(tmp_path: Path) -> None:
    write_files(tmp_path, PUBLISHED)
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(CheckpointError, match=r"merges\.txt") as caught:
        OmniTokenizer.from_folder(tmp_path)
    assert caught.value.code == "tokenizer-missing"
