"""What the tests of fine-tuning share."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune.lora.base import Source, find_source, load_source
from finetune.lora.data.cache import MediaCache
from finetune.lora.data.examples import Example, ExampleWriter
from finetune.lora.data.places import CACHE
from finetune.lora.data.rows import read_rows
from finetune.lora.losses import drop_unused
from finetune.lora.options import LoraOptions
from omni.model.omni import OmniForCausalLM
from tests.support.checkpoints import write_checkpoint
from tests.support.rows import mixed_rows


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoded media of a test are gone after it."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with random weights."""
    return write_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Rows of every kind."""
    return mixed_rows(tmp_path / "data")


def loaded(options: LoraOptions) -> tuple[Source, OmniForCausalLM]:
    """A checkpoint to train on."""
    source = find_source(options)
    return source, load_source(source, options)


def learnable(
    options: LoraOptions, data: Path, folder: Path
) -> tuple[Source, OmniForCausalLM, list[Example]]:
    """A checkpoint without its towers, and the rows as examples."""
    source, model = loaded(options)
    writer = ExampleWriter.of_model(
        model, source.tokenizer, options.max_tokens, MediaCache(folder / "media")
    )
    examples = [writer.write(row) for row in read_rows(data).rows]
    drop_unused(model)
    return source, model, examples
