"""Prompts against the ids that the published processor gives."""

from __future__ import annotations

import json
import os
import re
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from omni.config import OmniConfig
from omni.conversation import (
    Audio,
    Conversation,
    Image,
    Message,
    Part,
    Speech,
    SystemPrompt,
    Text,
    Video,
)
from omni.prompting.forms import TRANSCRIBE_TEXT
from omni.prompting.prompt import PromptBuilder
from omni.prompting.slots import AudioSlot, FrameSlot, ImageSlot, Prompt
from omni.prompting.tokenizer import OmniTokenizer
from tests.support.byte_tokenizer import byte_tokenizer
from tests.support.golden_set import GoldenSet

ROOM = 32_768  # the published limit; a golden config's own context may be smaller than its prompts
MEDIA = re.compile(r'<(audio|img|video|audiogen)_start_baichuan>(\{".*?\})<\1_end_baichuan>')
MARK = re.compile(r"(<B_SYS>|<C_Q>|<C_A>|<audiotext_start_baichuan>|<audiogen_start_baichuan>)")
PARTS = {"audio": Audio, "img": Image, "video": Video}
Item = str | Part


@pytest.fixture(scope="module")
def config(golden: GoldenSet) -> OmniConfig:
    return OmniConfig.from_pretrained(golden.checkpoint)


@pytest.fixture(scope="module")
def exact(golden_tokenizer: Path, config: OmniConfig) -> PromptBuilder:
    return PromptBuilder(OmniTokenizer.from_folder(golden_tokenizer), config, ROOM)


@pytest.fixture(scope="module")
def bytewise(tmp_path_factory: pytest.TempPathFactory, config: OmniConfig) -> PromptBuilder:
    return PromptBuilder(byte_tokenizer(tmp_path_factory.mktemp("bytes"), config), config, ROOM)


def items_of(prompt: str, folder: Path) -> list[Item]:
    """A published prompt string as marks (str) and parts."""
    items: list[Item] = []
    start = 0
    for match in MEDIA.finditer(prompt):
        items += plain_items(prompt[start : match.start()])
        path = folder / next(iter(json.loads(match[2]).values()))
        items.append(Speech(path=path) if match[1] == "audiogen" else PARTS[match[1]](path))
        start = match.end()
    return items + plain_items(prompt[start:])


def plain_items(text: str) -> list[Item]:
    return [piece if MARK.fullmatch(piece) else Text(piece) for piece in MARK.split(text) if piece]


def written(builder: PromptBuilder, items: list[Item]) -> Prompt:
    writer = builder.writer()
    names = {"<B_SYS>": "system", "<C_Q>": "user", "<C_A>": "assistant"}
    for item in items:
        if isinstance(item, str):
            name = names.get(item, item.strip("<>").removesuffix("_baichuan"))
            writer.mark(getattr(writer.special, name))
        else:
            builder.write_part(writer, item, by_assistant=False)
    return writer.finish()


def conversation_of(items: list[Item]) -> tuple[Conversation, bool] | None:
    """The conversation that ``items`` are the prompt of, and whether it asks for speech."""
    if items[-1:] != ["<C_A>"] or items[0] not in ("<B_SYS>", "<C_Q>"):
        return None
    system = SystemPrompt(text="")
    if items[0] == "<B_SYS>":
        assert isinstance(items[1], Text)
        system, items = SystemPrompt(text=items[1].text), items[2:]
    messages = []
    spoken = False
    parts: list[Part] = []
    for item in items:
        if item == "<audiotext_start_baichuan>":
            spoken = True
        elif isinstance(item, str):
            parts = []
            messages.append((item, parts, spoken))
            spoken = False
        else:
            parts.append(item)
    _, empty, speech = messages.pop()
    assert not empty
    roles: dict[str, Any] = {"<C_Q>": "user", "<C_A>": "assistant"}
    turns = [Message(roles[mark], tuple(said), spoken) for mark, said, spoken in messages]
    return Conversation(system, tuple(turns)), speech


def processor_prompts(golden: GoldenSet) -> list[dict[str, Any]]:
    return golden.json("processor")["prompts"]


def other_prompts(golden: GoldenSet) -> list[dict[str, Any]]:
    """The prompts of the model's and the loop's golden data."""
    tensors = golden.tensors("llm")
    found = [
        {"prompt": case["prompt"], "input_ids": tensors[f"{name}.input_ids"][0].tolist()}
        for name, case in golden.json("llm")["cases"].items()
    ]
    for trace in golden.json("generation")["traces"].values():
        if "prompt" in trace:
            found.append({"prompt": trace["prompt"], "input_ids": trace["prompt_ids"]})
    return found


def counts(prompt: Prompt) -> dict[str, list[int]]:
    """What the published processor reports of a prompt's media."""
    sounds = [slot.pieces for slot in prompt.media if isinstance(slot, AudioSlot)]
    rows: dict[type, list[int]] = {ImageSlot: [], FrameSlot: []}
    for slot in prompt.media:
        if isinstance(slot, ImageSlot | FrameSlot):
            rows[type(slot)].append(slot.image.grid[0] * slot.image.grid[1] // 4)
    return {
        "bridge_length": [piece.bridge_length for pieces in sounds for piece in pieces],
        "patch_nums": rows[ImageSlot],
        "videos_patch_nums": rows[FrameSlot],
    }


def test_processor_ids(golden: GoldenSet, exact: PromptBuilder) -> None:
    prompts = processor_prompts(golden) + other_prompts(golden)
    assert prompts
    for case in prompts:
        assert written(exact, items_of(case["prompt"], golden.folder)).ids == case["input_ids"]


def test_conversations_give_the_published_ids(golden: GoldenSet, exact: PromptBuilder) -> None:
    compared = 0
    for case in processor_prompts(golden) + other_prompts(golden):
        found = conversation_of(items_of(case["prompt"], golden.folder))
        if found is not None:
            assert exact.build(*found).ids == case["input_ids"]
            compared += 1
    assert compared


def test_media_expansion_without_the_vocabulary(golden: GoldenSet, bytewise: PromptBuilder) -> None:
    """Everything but the text's own ids, in every golden set: marks, pads and their numbers."""
    compared = 0
    for case in processor_prompts(golden) + other_prompts(golden):
        items = items_of(case["prompt"], golden.folder)
        found = conversation_of(items)
        prompts = [written(bytewise, items)]
        prompts += [bytewise.build(*found)] if found is not None else []
        for prompt in prompts:
            assert without_text(prompt.ids, bytewise) == without_text(case["input_ids"], bytewise)
            if "bridge_length" in case:
                expected = {key: case[key] or [] for key in counts(prompt)}
                assert counts(prompt) == expected
                compared += 1
    assert compared >= len(processor_prompts(golden))


def without_text(ids: list[int], builder: PromptBuilder) -> list[int | None]:
    """``ids`` with None for each run of text."""
    first = min(builder.tokenizer.added_ids)
    marked = [token if token >= first else None for token in ids]
    runs = [(token, len(list(run))) for token, run in groupby(marked)]
    return [item for token, length in runs for item in [token] * (length if token else 1)]


def test_transcription_is_the_published_form(golden: GoldenSet, exact: PromptBuilder) -> None:
    wave = next(iter(golden.json("audio")["waves"].values()))
    special = exact.tokenizer.special
    pads = sum(wave["bridge_length"])
    assert exact.transcription(golden.input(wave["file"])).ids == [
        *exact.tokenizer.encode(TRANSCRIBE_TEXT),
        special.audio_start,
        *[special.audio_pad] * pads,
        special.audio_end,
    ]


@pytest.fixture(scope="module")
def full() -> tuple[OmniTokenizer, dict[str, Any]]:
    folder = os.environ.get("OMNI_FULL_TOKENIZER")
    if folder is None:
        pytest.skip("set OMNI_FULL_TOKENIZER to a folder with the published vocabulary's files")
    golden = json.loads((Path(folder) / "tokenizer_processor.json").read_text(encoding="utf-8"))
    return OmniTokenizer.from_folder(folder), golden


def test_published_vocabulary(full: tuple[OmniTokenizer, dict[str, Any]]) -> None:
    tokenizer, golden = full
    specials = golden["specials"]
    assert tokenizer.size == golden["len_tokenizer"]
    assert tokenizer.added_ids == set(specials.values())
    marks = re.compile(f"({'|'.join(map(re.escape, specials))})")
    for case in golden["texts"] + golden["stop"]:
        ids = []
        for piece in filter(None, marks.split(case["text"])):
            ids += [specials[piece]] if piece in specials else tokenizer.encode(piece)
        assert ids == case["ids"]
        if "pieces" in case:
            assert [tokenizer.piece(token) for token in ids] == case["pieces"]
        else:
            assert tokenizer.decode(ids, added=True) == case["decoded"]
            assert tokenizer.decode(ids) == case["decoded_skip_special"]


def test_published_prompts(full: tuple[OmniTokenizer, dict[str, Any]], golden: GoldenSet) -> None:
    """With the published config, for the recorded inputs that are this golden set's."""
    tokenizer, stored = full
    builder = PromptBuilder(tokenizer, OmniConfig(), ROOM)
    compared = 0
    for case in stored["processor"]:
        prompt = written(builder, items_of(case["prompt"], golden.folder))
        if counts(prompt)["bridge_length"] == (case["bridge_length"] or []):
            assert prompt.ids == case["input_ids"]
            assert grids(prompt, ImageSlot) == (case["images_grid"] or [])
            assert grids(prompt, FrameSlot) == (case["videos_grid"] or [])
            compared += bool(prompt.media)
    if not compared:
        pytest.skip("the recorded inputs are not those of this golden set")


def grids(prompt: Prompt, kind: type) -> list[list[int]]:
    return [[1, *slot.image.grid] for slot in prompt.media if isinstance(slot, kind)]
