"""Stage 6: the vision tower and the bridge, before there is a language model that reads them.

Knows: dense supervision of the bridge's rows by small heads that are dropped afterwards, batches of
pictures and frames. Does not know: how things are painted, questions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from finetune.nano.base.loop import Losses
from finetune.nano.base.precision import mixed_precision
from finetune.nano.domain.splits import Split, stable_hash
from finetune.nano.domain.width import DomainWidth
from finetune.nano.pictures.clips import draw_clip
from finetune.nano.pictures.pictures import Layout, Painting, draw_scene
from finetune.nano.pictures.row_targets import (
    COLOR_CLASSES,
    IGNORED,
    INK,
    LETTER_CLASSES,
    MOST_THINGS,
    NOTHING,
    SHAPE_CLASSES,
    SIZE_CLASSES,
    SLOTS,
    THIRDS,
    WORD_CLASSES,
    WRITING,
    RowTargets,
    row_targets,
)
from finetune.nano.stages.tower_start import start_tower
from omni.config import OmniConfig
from omni.media.image import ImagePatches, image_patches
from omni.model.layers.rotary import Grid
from omni.model.llm import OmniModel
from omni.model.omni import OmniForCausalLM

SEED = 5
FRAME_SHARE = 0.25  # of the pictures that are frames of clips
LAYOUTS: dict[Layout, int] = {
    "few": 2,
    "row": 1,
    "crowd": 2,
    "filled": 7,
    "number": 3,
    "word": 5,
}

# Outputs of the heads, and what each one's loss weighs.
ROW_OUTPUTS = {
    "shape": len(SHAPE_CLASSES),
    "color": len(COLOR_CLASSES),
    "size": len(SIZE_CLASSES),
    "column": THIRDS,
    "line": THIRDS,
    "word": len(WORD_CLASSES),
    "left": len(LETTER_CLASSES),
    "right": len(LETTER_CLASSES),
    "center": 1,
    "offset": 2,
    "where": 2,
}
PICTURE_OUTPUTS = {
    "number": MOST_THINGS + 1,
    "whole_word": len(WORD_CLASSES),
    "counts": len(SHAPE_CLASSES) - 2 + len(COLOR_CLASSES),
}
WEIGHTS = {
    "shape": 1.0,
    "color": 0.5,
    "size": 0.3,
    "column": 0.5,
    "line": 0.5,
    "word": 0.5,
    "left": 0.4,
    "right": 0.4,
    "center": 0.5,
    "offset": 0.3,
    "where": 2.0,
    "number": 0.4,
    "whole_word": 0.5,
    "counts": 0.5,
    "ink": 2.0,
}
INK_BLOCK = 1  # of the tower, from whose output the ink of each patch is read
NOTHING_WEIGHT = 0.3  # of a row with nothing in it, beside one with a thing
assert SLOTS == 2, "the heads have a left and a right letter"


@dataclass
class VisionBatch:
    """Pictures and frames, those of one size beside each other, and what their rows should know."""

    images: list[ImagePatches]
    targets: RowTargets


class VisionBatches(Dataset[VisionBatch]):
    """The batch of every step, a function of the step: for a loader with worker processes."""

    def __init__(
        self,
        config: OmniConfig,
        steps: int,
        batch: int,
        width: DomainWidth = "full",
        split: Split = "train",
    ) -> None:
        self.config, self.steps, self.batch = config, steps, batch
        self.width, self.split = width, split

    def __len__(self) -> int:
        return self.steps

    def loaded(self, steps: range, workers: int) -> Iterator[VisionBatch]:
        """The batches of the steps, made by worker processes."""
        loader: DataLoader[VisionBatch] = DataLoader(
            self, batch_size=None, sampler=steps, num_workers=workers
        )
        return iter(loader)

    def __getitem__(self, step: int) -> VisionBatch:
        numbers = range(step * self.batch, (step + 1) * self.batch)
        drawn = [self._example(number) for number in numbers]
        drawn.sort(key=lambda pair: pair[0].grid)  # neighbours of one size share attention
        return VisionBatch(
            [image for image, _ in drawn], RowTargets.joined([targets for _, targets in drawn])
        )

    def _example(self, number: int) -> tuple[ImagePatches, RowTargets]:
        rng = Random(stable_hash("vision", number, SEED, self.split, self.width))
        if rng.random() < FRAME_SHARE:
            painting = rng.choice(draw_clip(rng, self.width, self.split).paintings())
            image = image_patches(painting.image(), self.config.video)
        else:
            painting = _any_scene(rng, self.width, self.split)
            image = image_patches(painting.image(), self.config.visual)
        return image, row_targets(painting, image.grid, self.config.visual.merge_size)


def _any_scene(rng: Random, width: DomainWidth, split: Split) -> Painting:
    layout = rng.choices(list(LAYOUTS), list(LAYOUTS.values()))[0]
    return draw_scene(rng, layout, width, split).painting()


class Sight(nn.Module):
    """A model's vision tower and bridge, under their own names: what the stage is for."""

    def __init__(self, model: OmniModel) -> None:
        super().__init__()
        self.visual_model = model.visual_model
        self.visual_bridge_model = model.visual_bridge_model

    def forward(self, patches: Tensor, grids: Sequence[Grid]) -> Tensor:
        """Rows (sum of grids / 4, hidden) of pictures, one after the other."""
        return self.visual_bridge_model(self.visual_model(patches, grids))


class SightHeads(nn.Module):
    """Linear readings of rows, of the mean of a picture's rows, and inside the tower of patches.

    The ink of a patch, whatever its colors, gives the tower edges: shapes are made of them.
    """

    def __init__(self, width: int, tower_width: int) -> None:
        super().__init__()
        self.ink = nn.Linear(tower_width, INK * INK)
        self.row = nn.Linear(width, sum(ROW_OUTPUTS.values()))
        self.picture = nn.Linear(width, sum(PICTURE_OUTPUTS.values()))

    def forward(self, rows: Tensor, picture: Tensor) -> dict[str, Tensor]:
        """Logits (rows, classes) or (pictures, classes), by name.

        ``rows`` (rows, hidden); ``picture`` int64 (rows,): whose row it is.
        """
        # The language model too reads rows through a norm: their scale must not matter.
        rows = F.rms_norm(rows, rows.shape[-1:])
        counts = torch.bincount(picture)
        means = rows.new_zeros(len(counts), rows.shape[-1]).index_add(0, picture, rows)
        return {
            **_parted(self.row(rows), ROW_OUTPUTS),
            **_parted(self.picture(means / counts[:, None]), PICTURE_OUTPUTS),
        }


def _parted(outputs: Tensor, parts: dict[str, int]) -> dict[str, Tensor]:
    return dict(zip(parts, outputs.split(list(parts.values()), dim=-1), strict=True))


class VisionStage:
    """Losses of the heads, and how often they are right."""

    def __init__(self, model: OmniForCausalLM, device: torch.device, fresh: bool = True) -> None:
        """``fresh``: the tower has random weights, which get a good start."""
        self.device = device
        self.sight = Sight(model.model).to(device)
        tower = self.sight.visual_model
        width = model.config.visual.embed_dim
        self.heads = SightHeads(model.config.hidden_size, width).to(device)
        self._patches = torch.empty(0)  # features within the tower, of the last batch
        tower.blocks[INK_BLOCK].register_forward_hook(self._keep_patches)
        if fresh:
            start_tower(tower)

    def _keep_patches(self, block: nn.Module, given: object, features: Tensor) -> None:
        self._patches = features

    def losses(self, batch: VisionBatch) -> Losses:
        """The weighted sum, and its parts."""
        targets = batch.targets
        with mixed_precision(self.device):
            found = self._readings(batch)
        found = {name: logits.float() for name, logits in found.items()}
        parts = {
            name: F.cross_entropy(found[name], wanted.to(self.device), ignore_index=IGNORED)
            for name, wanted in _classes(targets).items()
            if name != "shape" and (wanted != IGNORED).any()
        }
        parts["shape"] = self._shape_loss(found["shape"], targets.shape)
        there = (targets.column != IGNORED).to(self.device)
        parts |= {
            "center": F.binary_cross_entropy_with_logits(
                found["center"][:, 0], targets.center.to(self.device)
            ),
            "counts": F.smooth_l1_loss(found["counts"], targets.counts.to(self.device), beta=0.2),
            "ink": F.binary_cross_entropy_with_logits(found["ink"], targets.ink.to(self.device)),
        }
        if there.any():
            offset = targets.offset.to(self.device)
            parts["offset"] = F.smooth_l1_loss(found["offset"][there], offset[there], beta=0.2)
            where = targets.where.to(self.device)
            parts["where"] = F.smooth_l1_loss(found["where"][there], where[there], beta=0.05)
        total = torch.stack([WEIGHTS[name] * loss for name, loss in parts.items()]).sum()
        return {"loss": total, **{name: loss.detach() for name, loss in parts.items()}}

    def _readings(self, batch: VisionBatch) -> dict[str, Tensor]:
        patches = torch.cat([image.patches for image in batch.images]).to(self.device)
        rows = self.sight(patches, [image.grid for image in batch.images])
        ink = self.heads.ink(F.rms_norm(self._patches, self._patches.shape[-1:]))
        return {**self.heads(rows, batch.targets.picture.to(self.device)), "ink": ink}

    def _shape_loss(self, found: Tensor, wanted: Tensor) -> Tensor:
        weight = torch.ones(len(SHAPE_CLASSES), device=self.device)
        weight[NOTHING] = NOTHING_WEIGHT
        return F.cross_entropy(found, wanted.to(self.device), weight, ignore_index=IGNORED)

    @torch.no_grad()
    def check(self, batches: Iterable[VisionBatch]) -> dict[str, float]:
        """The share of right answers, by what is asked and of what size."""
        right: dict[str, list[Tensor]] = defaultdict(list)
        for batch in batches:
            found = {name: output.cpu() for name, output in self._readings(batch).items()}
            for name, hits in _hits(found, batch.targets):
                right[name].append(hits)
        cases = {name: torch.cat(hits).float() for name, hits in right.items()}
        return {name: round(hits.mean().item(), 4) for name, hits in cases.items() if len(hits)}


def _classes(targets: RowTargets) -> dict[str, Tensor]:
    """The targets that are classes, by the head that tells them."""
    names = ("shape", "color", "size", "column", "line", "word", "number", "whole_word")
    classes = {name: getattr(targets, name) for name in names}
    return {**classes, "left": targets.letters[:, 0], "right": targets.letters[:, 1]}


def _hits(found: dict[str, Tensor], targets: RowTargets) -> Iterator[tuple[str, Tensor]]:
    """Names of measures, and booleans (cases,): whether the heads were right."""
    for name, wanted in _classes(targets).items():
        asked = wanted != IGNORED
        hits = found[name].argmax(-1) == wanted
        if name == "shape":
            yield "empty", hits[asked & (wanted == NOTHING)]
            asked = asked & (wanted != NOTHING) & (wanted != WRITING)
        yield name, hits[asked]
        if name in ("shape", "color", "column", "line"):
            for index, size in enumerate(SIZE_CLASSES):
                # One row a thing: that of its center.
                center = (targets.size == index) & (targets.center > 0)
                yield f"{size}_{name}", hits[asked & center]
    yield "center", ((found["center"][:, 0] > 0) == (targets.center > 0))
    yield "counts", (found["counts"].round() == targets.counts).all(1)
    yield "ink", ((found["ink"] > 0) == (targets.ink > 0.5)).flatten()
    off = (found["where"] - targets.where).abs().amax(1)
    yield "where", off[targets.column != IGNORED] < 0.1
