"""The vocoder classes that a checkpoint may have, by their name in ``vocoder_config.json``.

Knows: all of them; a further one is a line here. Does not know: tensors, devices.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from omni.config import read_object
from omni.errors import CheckpointError
from omni.model.vocoder.base import VocoderModel, VocoderSizes
from omni.model.vocoder.hift import HiFTVocoder

CONFIG_FILE = "vocoder_config.json"
KIND = "vocoder_type"  # the key in that file; absent: the published one
PUBLISHED = "hift"
VOCODERS: Mapping[str, type[VocoderModel]] = {PUBLISHED: HiFTVocoder}


def read_vocoder_config(path: Path | None) -> VocoderSizes:
    """The sizes of a vocoder's JSON file, of its class's own type; None: the published ones.

    Raises:
        CheckpointError: the file is not a JSON object, or names a class that there is not.
    """
    if path is None:
        return VOCODERS[PUBLISHED].config_class.from_dict({})
    values = read_object(path)
    kind = values.get(KIND, PUBLISHED)
    if kind in VOCODERS:
        return VOCODERS[kind].config_class.from_dict(values)
    raise not_a_vocoder(path, f"{KIND} {kind}")


def new_vocoder(config: VocoderSizes) -> VocoderModel:
    """A vocoder with these sizes, its weights not set."""
    made_of = {kind.config_class: kind for kind in VOCODERS.values()}
    return made_of[type(config)](config)


def not_a_vocoder(path: Path, detail: object) -> CheckpointError:
    """The sentence for sizes of which no vocoder can be made."""
    return CheckpointError(
        "vocoder-sizes",
        "The sizes in {path} do not describe a vocoder ({detail}): fetch it again.",
        path=path,
        detail=detail,
    )
