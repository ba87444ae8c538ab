"""What a row teaches: the context that generation itself leaves, and what follows each place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from finetune.lora.data.cache import MediaCache
from finetune.lora.data.examples import IGNORED, Example, ExampleWriter
from finetune.lora.data.refused import RefusedError
from finetune.lora.data.rows import Row
from omni.conversation import (
    Audio,
    Conversation,
    Image,
    Message,
    Speech,
    SystemPrompt,
    Text,
    Video,
    VoicePrompt,
)
from omni.events import Finished
from omni.generation.loop import GenerationLoop
from omni.loading.load import LoadedModel, load
from omni.prompting.media_slots import MediaSlots
from omni.prompting.prompt import PromptBuilder
from omni.settings import EngineSettings
from tests.support.media_files import tone, write_clip, write_sound

HELLO = Message("user", (Text("Hi"),))


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    loading = load(EngineSettings("nano", device="cpu"))
    while True:
        try:
            next(loading)
        except StopIteration as end:
            value: LoadedModel = end.value
            return value


@pytest.fixture
def cache(tmp_path: Path) -> MediaCache:
    return MediaCache(tmp_path / "cache")


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return write_sound(tmp_path / "tone.wav", tone(1.0))


def written(loaded: LoadedModel, row: Row, cache: MediaCache, most: int = 4096) -> Example:
    return ExampleWriter.of_model(loaded.model, loaded.tokenizer, most, cache).write(row)


def row(
    *messages: Message, system: SystemPrompt | None = None, silent: frozenset[int] = frozenset()
) -> Row:
    return Row(1, Conversation(system or SystemPrompt(), messages), "data.jsonl:1", silent)


def answer(*parts: Text | Speech) -> Message:
    return Message("assistant", parts, spoken=any(isinstance(part, Speech) for part in parts))


@pytest.mark.parametrize("speech", [True, False])
def test_a_row_teaches_the_context_that_generation_leaves(
    loaded: LoadedModel, cache: MediaCache, speech: bool
) -> None:
    asked = Conversation(messages=(Message("user", (Text("What is the capital of China?"),)),))
    builder = PromptBuilder(loaded.tokenizer, loaded.config)
    options = replace(loaded.defaults.options, speech=speech, seed=1)
    generation = GenerationLoop(loaded.model, loaded.tokenizer).run(
        builder.build(asked, speech), loaded.defaults.limits.of(options)
    )
    *_, end = generation
    assert isinstance(end, Finished)
    said = Message("assistant", end.parts, spoken=speech)
    example = written(loaded, row(*asked.messages, said), cache)
    ids = list(generation.ids)
    assert example.ids.tolist() == ids
    special = loaded.tokenizer.special
    learnt = {p: t for p, t in enumerate(example.text_targets.tolist()) if t != IGNORED}
    assert min(learnt) == ids.index(special.assistant)
    follow = [*ids[1:], special.end_of_text]
    assert all(token == follow[place] for place, token in learnt.items())
    assert learnt[len(ids) - 1] == special.end_of_text
    codes = [part.codes for part in end.parts if isinstance(part, Speech)]
    assert bool(codes) == speech
    if speech:
        assert special.audiogen_start in learnt.values()
        frames = np.concatenate(codes)
        assert example.codes.tolist() == frames.tolist()
        last = [list(loaded.config.audio.codebook_sizes)]
        expected = [row for each in codes for row in each.tolist() + last]
        assert example.frame_targets.tolist() == expected
        # A frame is predicted where the one before stands, the first at the mark.
        assert [follow[p] for p in example.frame_places.tolist()] == [
            token
            for each in codes
            for token in [special.audio_pad] * len(each) + [special.audiogen_end]
        ]


def test_what_a_person_says_is_never_learnt(
    loaded: LoadedModel, cache: MediaCache, sound: Path
) -> None:
    said = answer(Text("Yes."), Speech(path=sound))
    voice = SystemPrompt("Hello.", VoicePrompt(sound))
    example = written(
        loaded, row(Message("user", (Audio(sound), Text("Yes?"))), said, system=voice), cache
    )
    special = loaded.tokenizer.special
    ids = example.ids.tolist()
    start = ids.index(special.assistant)
    assert (example.text_targets[:start] == IGNORED).all()
    assert example.frame_places.min() > start
    count = len(loaded.model.encode_audio(_pieces(loaded, sound))[0])
    assert len(example.codes) == 3 * count, "the voice, the question, the answer"
    assert len(example.frame_targets) == count + 1


def _pieces(loaded: LoadedModel, path: Path) -> list[object]:
    slot = MediaSlots(loaded.config).sound(path)
    return list(slot.pieces)  # type: ignore[union-attr]


def test_a_voice_prompt_is_left_out_where_nothing_is_spoken(
    loaded: LoadedModel, cache: MediaCache, sound: Path
) -> None:
    voice = SystemPrompt("Hello.", VoicePrompt(sound))
    example = written(loaded, row(HELLO, answer(Text("Yes.")), system=voice), cache)
    assert not len(example.codes)


def test_pictures_are_what_the_tower_sees(
    loaded: LoadedModel, cache: MediaCache, tmp_path: Path
) -> None:
    picture, clip = tmp_path / "a.png", tmp_path / "a.mp4"
    Pillow.effect_noise((90, 60), 80).convert("RGB").save(picture)
    write_clip(clip, [number / 30 for number in range(60)])
    asked = Message("user", (Image(picture), Video(clip), Text("What?")))
    example = written(loaded, row(asked, answer(Text("Noise."))), cache)
    prompt = PromptBuilder(loaded.tokenizer, loaded.config).message(asked)
    slots = list(prompt.media)
    model = loaded.model
    with torch.inference_mode():
        rows = model.encode_images([slot.image for slot in slots])  # type: ignore[union-attr]
        features = torch.cat([example.image_features, example.video_features])
        again = model.model.visual_bridge_model(features)
    assert (rows - again).abs().max() < 1e-4
    special = loaded.tokenizer.special
    counts = [example.ids.tolist().count(pad) for pad in (special.image_pad, special.video_place)]
    assert counts == [len(example.image_features) // 4, len(example.video_features) // 4]


def test_media_are_encoded_once(loaded: LoadedModel, cache: MediaCache, sound: Path) -> None:
    spoken = row(HELLO, answer(Text("Yes."), Speech(path=sound)))
    first = written(loaded, spoken, cache)
    assert (cache.hits, cache.misses) == (0, 1)
    copy = sound.with_name("copy.wav")
    copy.write_bytes(sound.read_bytes())
    second = written(loaded, row(HELLO, answer(Text("Yes."), Speech(path=copy))), cache)
    assert (cache.hits, cache.misses) == (1, 1), "by content, not by name"
    assert torch.equal(first.codes, second.codes)
    other = loaded.model.audio_tokenizer.audio_bridge_model.proj_decoder.bias
    with torch.no_grad():
        other.add_(1)
        written(loaded, spoken, cache)
        other.sub_(1)
    assert cache.misses == 2, "another encoder's codes are other codes"


def test_what_is_too_long_loses_its_oldest_exchanges(
    loaded: LoadedModel, cache: MediaCache
) -> None:
    talk = row(
        HELLO, answer(Text("One.")), HELLO, answer(Text("Two.")), HELLO, answer(Text("Three."))
    )
    whole = written(loaded, talk, cache)
    least = written(loaded, row(HELLO, answer(Text("Three."))), cache)
    assert (whole.forgotten, least.forgotten) == (0, 0)
    cut = written(loaded, talk, cache, most=whole.tokens - 1)
    assert cut.forgotten == 2
    assert written(loaded, talk, cache, most=least.tokens).ids.tolist() == least.ids.tolist()
    with pytest.raises(RefusedError, match=f"{least.tokens} tokens in its last exchange"):
        written(loaded, talk, cache, most=least.tokens - 1)
    with pytest.raises(RefusedError, match="first 4 messages"):
        written(loaded, replace(talk, silent=frozenset({3, 5})), cache, most=least.tokens)


def test_an_answer_may_be_context_alone(loaded: LoadedModel, cache: MediaCache) -> None:
    talk = row(HELLO, answer(Text("One.")), HELLO, answer(Text("Two.")), silent=frozenset({1}))
    learnt = [
        token for token in written(loaded, talk, cache).text_targets.tolist() if token != IGNORED
    ]
    special = loaded.tokenizer.special
    assert learnt == [*loaded.tokenizer.encode("Two."), special.end_of_text]
