"""The embedded checkpoint's shape, its tokenizer, and its untrained weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from finetune.nano import make_tokenizer
from finetune.nano.domain.vocabulary import english_words, hanzi, punctuation
from omni.config import OmniConfig
from omni.conversation import DEFAULT_SYSTEM_TEXT, Conversation, Message, Text
from omni.engine import Engine, EngineSettings
from omni.events import SPEECH_RATE, SpeechChunk, TextDelta, TurnEnd
from omni.loading import nano
from omni.loading.checkpoint import Checkpoint
from omni.options import SPEECH, GenerationOptions
from omni.prompting.forms import READ_ALOUD_TEXT, TRANSCRIBE_TEXT
from omni.prompting.system_text import VOICE_SENTENCE
from omni.prompting.tokenizer import OmniTokenizer
from omni.settings import NANO

HELLO = Conversation(messages=(Message("user", (Text("Hello, what is this?"),)),))


@pytest.fixture(scope="module")
def tokenizer() -> OmniTokenizer:
    return OmniTokenizer.from_folder(nano.NANO_FOLDER)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def untrained(cache: Path) -> Checkpoint:
    return Checkpoint(nano.untrained_folder(cache), NANO)


@pytest.fixture
def only_untrained(untrained: Checkpoint, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ships, ``nano`` is the untrained checkpoint of these tests."""
    monkeypatch.setattr(nano, "WEIGHTS_FILE", "no-such-file")
    monkeypatch.setattr(nano.platformdirs, "user_cache_path", lambda name: cache)


def test_the_tokenizer_is_what_its_maker_makes() -> None:
    kept = json.loads((nano.NANO_FOLDER / "tokenizer.json").read_text(encoding="utf-8"))
    made = make_tokenizer.build()
    assert json.loads(made.to_str()) == kept
    config = json.loads((nano.NANO_FOLDER / "config.json").read_text(encoding="utf-8"))
    assert make_tokenizer.token_ids(made, config) == config


def test_words_of_the_domain_are_one_token(tokenizer: OmniTokenizer) -> None:
    words = english_words()
    texts = [*words, *(f" {word}" for word in words), *hanzi(), *punctuation()]
    assert [text for text in texts if len(tokenizer.encode(text)) != 1] == []


def test_the_prompts_own_sentences_are_whole_words(tokenizer: OmniTokenizer) -> None:
    sentences = [DEFAULT_SYSTEM_TEXT, TRANSCRIBE_TEXT, *VOICE_SENTENCE.values()]
    sentences += [text.format(transcript="") for text in READ_ALOUD_TEXT.values()]
    for sentence in sentences:
        pieces = [tokenizer.piece(token) for token in tokenizer.encode(sentence)]
        assert "\ufffd" not in "".join(pieces), sentence
        assert len(pieces) <= max(len(sentence.split()) + 1, len(sentence.encode()) // 3 + 1)


@pytest.mark.parametrize(
    "text", ["unbelievable", "龘靐齉", "😀 \t\n", "naïve Ωμέγα", "a" * 300, "\x00"]
)
def test_every_text_can_be_written(tokenizer: OmniTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_tokenizer_and_config_agree(tokenizer: OmniTokenizer) -> None:
    config = OmniConfig.from_pretrained(nano.NANO_FOLDER)
    tokenizer.special.check(config)
    assert tokenizer.size <= config.vocab_size < tokenizer.size + 64
    generation = json.loads((nano.NANO_FOLDER / "generation_config.json").read_text())
    assert generation["eos_token_id"] == tokenizer.special.end_of_text


def test_its_size(untrained: Checkpoint) -> None:
    assert 10e6 < untrained.parameters() < 20e6


def test_untrained_weights_are_the_same_everywhere(untrained: Checkpoint, tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    nano.write_untrained(tmp_path)
    assert torch.equal(torch.random.get_rng_state(), state), "nobody's draws are disturbed"
    names = sorted(path.name for path in untrained.folder.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    for name in names:
        assert (tmp_path / name).read_bytes() == (untrained.folder / name).read_bytes(), name


def test_untrained_is_made_once(cache: Path, untrained: Checkpoint) -> None:
    before = (untrained.folder / "model.safetensors").stat().st_mtime_ns
    assert nano.untrained_folder(cache) == untrained.folder
    assert (untrained.folder / "model.safetensors").stat().st_mtime_ns == before
    assert [path.name for path in cache.iterdir()] == [untrained.folder.name], "nothing is left"


def test_an_interrupted_making_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(nano, "write_untrained", interrupted)
    with pytest.raises(KeyboardInterrupt):
        nano.untrained_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one finishes while this one is still writing."""
    folder = tmp_path / f"nano-untrained-{nano._key()}"

    def beaten(making: Path) -> None:
        (making / "mine").touch()
        folder.mkdir()
        (folder / "theirs").touch()

    monkeypatch.setattr(nano, "write_untrained", beaten)
    assert nano.untrained_folder(tmp_path) == folder
    assert [path.name for path in tmp_path.rglob("*")] == [folder.name, "theirs"]


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setattr(nano, "write_untrained", lambda folder: (folder / "x").touch())
    nano._temporary_folder.cache_clear()
    folder = nano.untrained_folder(blocked / "cache")
    assert (folder / "x").is_file()
    assert nano.untrained_folder(blocked / "cache") == folder
    nano._temporary_folder.cache_clear()


def test_the_key_changes_with_the_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = nano._key()
    for name in nano.DESCRIPTION_FILES:
        (tmp_path / name).write_bytes((nano.NANO_FOLDER / name).read_bytes())
    monkeypatch.setattr(nano, "NANO_FOLDER", tmp_path)
    assert nano._key() == before
    (tmp_path / "config.json").write_text("{}")
    assert nano._key() != before


def test_trained_weights_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano, "NANO_FOLDER", tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert nano.nano_folder() == tmp_path


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(EngineSettings(NANO, device="cpu"))


def test_an_untrained_turn(engine: Engine, only_untrained: None) -> None:
    """It ends by itself, says something, and is neither silent nor loud."""
    events = list(engine.turn(HELLO, GenerationOptions(seed=1)))
    assert engine.report is not None and not engine.report.trained
    end = events[-1]
    assert isinstance(end, TurnEnd) and end.stats.text_tokens <= 32
    limit = nano.UNTRAINED_LIMITS["audio_frames"] * nano.UNTRAINED_LIMITS["rounds"]
    assert 0 < end.stats.audio_frames <= limit
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert len(text) > 10 and text.count("\ufffd") < 3
    sound = np.concatenate([event.samples for event in events if isinstance(event, SpeechChunk)])
    assert sound.dtype == np.int16 and len(sound) / SPEECH_RATE == end.stats.speech_s > 1
    level = sound / 32768
    assert 0.02 < np.sqrt((level**2).mean()) < 0.08
    assert np.abs(level).max() < 0.5


def test_a_seed_repeats_a_turn(engine: Engine, only_untrained: None) -> None:
    def heard(seed: int | None) -> tuple[str, np.ndarray, int]:
        audio = replace(SPEECH, max_new=8)
        options = GenerationOptions(seed=seed, audio=audio, max_rounds=1)
        events = list(engine.turn(HELLO, options))
        sound = [event.samples for event in events if isinstance(event, SpeechChunk)]
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        assert isinstance(events[-1], TurnEnd)
        return text, np.concatenate(sound), events[-1].stats.seed

    first, again, other = heard(5), heard(5), heard(6)
    assert first[0] == again[0] and np.array_equal(first[1], again[1])
    assert first[0] != other[0] or not np.array_equal(first[1], other[1])
    fresh = heard(None)
    repeated = heard(fresh[2])
    assert repeated[0] == fresh[0] and np.array_equal(repeated[1], fresh[1])


def test_the_embedded_checkpoint_stays_small() -> None:
    files = {path.name: path.stat().st_size for path in nano.NANO_FOLDER.iterdir()}
    assert {"tokenizer.json", "model.safetensors", "hift.safetensors"} <= set(files)
    assert sum(files.values()) <= 60_000_000
