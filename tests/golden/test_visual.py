"""The vision tower and its bridge against the golden data; media tests cover the patches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from omni.model.layers.rotary import patch_angles, patch_positions
from tests.support.golden_model import assert_close, golden_model, names_of, pictures
from tests.support.golden_set import GoldenSet

# Made from files, not by the model:
MEDIA = ("patches", "resized_uint8")
NAMES = [name for name in names_of("visual", *MEDIA) if ".patches" not in name]


@pytest.fixture(scope="module")
@torch.inference_mode()
def computed(golden: GoldenSet) -> dict[str, Tensor]:
    """What the model computes, under the golden names."""
    found: dict[str, Tensor] = {}
    still = []
    for key, images in pictures(golden).items():
        found |= run(key, images)
        if f"{key}.patches" in golden.tensors("visual"):
            still += images
    found["both.bridge_out"] = golden_model().encode_images(still)
    return found


def run(key: str, images: list) -> dict[str, Tensor]:
    """Every stage of one picture, or of the frames of one clip."""
    model = golden_model().model
    tower = model.visual_model
    stages = {f"{key}.block{index}": block for index, block in enumerate(tower.blocks)}
    stages |= {
        f"{key}.patch_embed": tower.patch_embed,
        f"{key}.encoder_out": tower,
        f"{key}.bridge_out": model.visual_bridge_model,
    }
    found: dict[str, Tensor] = {}

    def keep(name: str):  # type: ignore[no-untyped-def]
        return lambda module, given, result: found.__setitem__(name, result)

    hooks = [stage.register_forward_hook(keep(name)) for name, stage in stages.items()]
    try:
        golden_model().encode_images(images)
    finally:
        for hook in hooks:
            hook.remove()
    positions = patch_positions([image.grid for image in images], tower.merge, torch.device("cpu"))
    found[f"{key}.rotary_freqs"] = patch_angles(positions, tower.head_dim)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_golden(golden: GoldenSet, computed: dict[str, Tensor], name: str) -> None:
    assert_close(computed[name], golden.tensors("visual")[name])


def test_pictures_have_no_effect_on_each_other(golden: GoldenSet) -> None:
    """All golden pictures and frames in one call: the rows of each alone, in order."""
    merged = golden_model().config.visual.merged_patches
    model = golden_model()
    images = [image for group in pictures(golden).values() for image in group]
    with torch.inference_mode():
        alone = torch.cat([model.encode_images([image]) for image in images])
        # A size, another size, the first again: runs of equal size must not be mixed up.
        mixed = model.encode_images([*images, images[0]])
    assert_close(mixed, torch.cat((alone, alone[: len(images[0].patches) // merged])))


def test_a_long_clip_is_encoded_in_passes(
    golden: GoldenSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = golden_model()
    images = [image for group in pictures(golden).values() for image in group]
    with torch.inference_mode():
        whole = model.encode_images(images)
        seen = []
        hook = model.model.visual_model.register_forward_pre_hook(
            lambda module, given: seen.append(len(given[0]))
        )
        limit = 2 * min(len(image.patches) for image in images)
        monkeypatch.setattr("omni.model.omni.PATCHES_PER_PASS", limit)
        parts = model.encode_images(images)
        hook.remove()
    assert len(seen) > 1 and max(seen) <= max(limit, *(len(image.patches) for image in images))
    assert_close(parts, whole)


def test_no_picture_gives_no_row() -> None:
    model = golden_model()
    assert model.encode_images([]).shape == (0, model.config.hidden_size)
