"""The library's own classes and the tests' scripts have what generation and speech ask for."""

from __future__ import annotations

from omni.generation.protocols import Tokenizer
from omni.loading.nano import NANO_FOLDER
from omni.model.protocols import SpeakingModel, Vocoder
from omni.prompting.tokenizer import OmniTokenizer
from tests.support.golden_model import golden_model
from tests.support.golden_vocoder import golden_vocoder
from tests.support.scripted import ByteTokenizer, ScriptedModel


def test_models_speak() -> None:
    for model in (golden_model(), ScriptedModel([])):
        assert isinstance(model, SpeakingModel)
    assert not isinstance(golden_model().model, SpeakingModel)


def test_tokenizers_spell() -> None:
    for tokenizer in (OmniTokenizer.from_folder(NANO_FOLDER), ByteTokenizer()):
        assert isinstance(tokenizer, Tokenizer)
    assert not isinstance(object(), Tokenizer)


def test_vocoders_stream() -> None:
    assert isinstance(golden_vocoder(), Vocoder)
    assert not isinstance(golden_vocoder().conv_pre, Vocoder)
