"""Ids by meaning, and that tokenizer and config must agree."""

from __future__ import annotations

import pytest

from omni.config import OmniConfig
from omni.errors import CheckpointError
from omni.prompting.special_tokens import NAMES, SpecialTokens
from tests.support.byte_tokenizer import PUBLISHED


def test_published_names_fit_the_published_config() -> None:
    special = SpecialTokens.from_added(PUBLISHED)
    special.check(OmniConfig())
    assert special.audio_pad == 151678
    assert special.video_place == 151694
    assert special.pads == {151678, 151681, 151694}


@pytest.mark.parametrize("name", NAMES.values())
def test_a_missing_name(name: str) -> None:
    added = {key: token for key, token in PUBLISHED.items() if key != name}
    with pytest.raises(CheckpointError, match=name.replace("|", r"\|")) as caught:
        SpecialTokens.from_added(added)
    assert caught.value.code == "tokens-missing"


CONFIGURED = {
    "audio_config": (
        "audio_start audio_end audio_pad audiotext_start audiotext_end audiotext_pad "
        "audiogen_start audiogen_end"
    ),
    "visual_config": "image_start image_end image_pad",
    "video_config": "image_start image_end video_start video_end video_place",
}


@pytest.mark.parametrize(
    ("section", "field"),
    [(section, field) for section, names in CONFIGURED.items() for field in names.split()],
)
def test_a_contradiction(section: str, field: str) -> None:
    special = SpecialTokens.from_added(PUBLISHED)
    config = OmniConfig(**{section: {f"{field}_token_id": 7}})
    with pytest.raises(CheckpointError, match="different checkpoints") as caught:
        special.check(config)
    assert caught.value.code == "tokens-contradict"
    assert caught.value.params["token"] == NAMES[field]


def test_an_id_without_an_embedding() -> None:
    special = SpecialTokens.from_added(PUBLISHED)
    with pytest.raises(CheckpointError) as caught:
        special.check(OmniConfig(vocab_size=151_701))
    assert caught.value.code == "tokens-outside"
