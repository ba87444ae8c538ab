"""What several tests of the training use."""

from __future__ import annotations

import pytest

from finetune.nano.base.checkpoint import fresh_model, nano_tokenizer
from finetune.nano.examples.sequences import SequenceWriter


@pytest.fixture(scope="session")
def writer() -> SequenceWriter:
    """Writes sequences with the codes of an untrained audio tokenizer."""
    model = fresh_model(0)
    return SequenceWriter(nano_tokenizer(), model.config, model.audio_tokenizer.eval())
