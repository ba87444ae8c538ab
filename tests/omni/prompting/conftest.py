"""What the tests of prompts share: a tokenizer, a builder of prompts, a folder of media."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni.prompting.prompt import PromptBuilder
from omni.prompting.tokenizer import OmniTokenizer
from tests.support.byte_tokenizer import byte_tokenizer
from tests.support.prompt_parts import CONFIG, write_media


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> OmniTokenizer:
    """One whose text tokens are bytes."""
    return byte_tokenizer(tmp_path_factory.mktemp("tokenizer"), CONFIG)


@pytest.fixture(scope="module")
def builder(tokenizer: OmniTokenizer) -> PromptBuilder:
    """For the sizes of the tests."""
    return PromptBuilder(tokenizer, CONFIG)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound, a picture and a clip."""
    return write_media(tmp_path_factory.mktemp("media"))
