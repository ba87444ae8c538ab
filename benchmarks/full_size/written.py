"""A checkpoint with random weights on the disk: published names, bf16 shards, vocoder, tokenizer.

Knows: the layout of a published folder, how a safetensors file is written piece by piece.
Does not know: how values are drawn (:mod:`benchmarks.speed.random_model`), who loads it.

One tensor at a time is in memory.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

from benchmarks.speed.random_model import RandomWeights, vocoder_state, write_vocabulary
from omni.config import OmniConfig, VocoderConfig
from omni.errors import ResourceError, gigabytes
from omni.loading.checkpoint import INDEX_FILE, WEIGHTS_FILE
from omni.loading.kept.tensor_file import header
from omni.loading.nano import NANO_FOLDER
from omni.loading.places import free_on_disk
from omni.model.omni import OmniForCausalLM
from omni.model.vocoder.kinds import CONFIG_FILE
from omni.prompting.tokenizer import OmniTokenizer

SHARDS = 5  # as published
DTYPE = torch.bfloat16
# Random weights know no end; who tries the page with them waits for so much at most.
LIMITS = {"text_tokens": 64, "audio_frames": 250, "rounds": 2}
SPARE_BYTES = 2_000_000_000  # of the disk that stay free
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
)
PUBLISHED_VOCABULARY = 100_000  # a vocabulary of fewer ids is nano's

Shapes = Mapping[str, torch.Size]


def shapes_of(config: OmniConfig) -> dict[str, torch.Size]:
    """Every tensor of the architecture, without memory for any."""
    with torch.device("meta"):
        state = OmniForCausalLM(config).state_dict()
    return {name: tensor.shape for name, tensor in state.items()}


def bytes_of(shapes: Shapes) -> int:
    """Of the weight files, headers aside."""
    return sum(shape.numel() for shape in shapes.values()) * DTYPE.itemsize


def check_disk(folder: Path, size: int) -> None:
    """There is room for ``size`` bytes where ``folder`` will be.

    Raises:
        ResourceError: there is not.
    """
    place, free = free_on_disk(folder)
    if size + SPARE_BYTES > free:
        raise ResourceError(
            "disk-short-benchmark",
            "The checkpoint takes {need} GB and {free} GB are free at {path}: free some space, or "
            "name a folder on another disk with --folder.",
            need=gigabytes(size + SPARE_BYTES),
            free=gigabytes(free),
            path=place,
        )


def write_checkpoint(
    folder: Path,
    config: OmniConfig,
    vocoder: VocoderConfig,
    tokenizer: Path | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write a complete checkpoint into ``folder``; it appears there in one piece.

    Args:
        tokenizer: a folder to take the tokenizer's files from; None: one is made.
        told: called with the bytes of weights that are written, and of all.

    Raises:
        ResourceError: the disk is too small for it.
        FileNotFoundError: ``tokenizer`` has no tokenizer.
    """
    shapes = shapes_of(config)
    check_disk(folder, bytes_of(shapes))
    making = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        _write_tokenizer(making, config, tokenizer)
        special = OmniTokenizer.from_folder(making).special
        weights = RandomWeights((special.end_of_text, special.audiogen_start))
        _write_json(making / "config.json", config.to_dict() | {"torch_dtype": "bfloat16"})
        own = {"trained": False, "limits": LIMITS}
        _write_json(making / "generation_config.json", {"omni": own})
        _write_json(making / CONFIG_FILE, vocoder.to_dict())
        torch.save(vocoder_state(vocoder, weights), making / "hift.pt")
        _write_weights(making, shapes, weights, told)
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _write_weights(
    folder: Path, shapes: Shapes, weights: RandomWeights, told: Callable[[int, int], None]
) -> None:
    shards = list(split(shapes, SHARDS))
    total, done = bytes_of(shapes), 0
    places: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        with (folder / name).open("wb") as file:
            file.write(header((key, DTYPE, shapes[key]) for key in names))
            for key in names:
                tensor = weights.draw(key, shapes[key], DTYPE)
                file.write(tensor.view(-1).view(torch.uint8).numpy().data)
                done += tensor.nbytes
                told(done, total)
        places |= dict.fromkeys(names, name)
    if len(shards) == 1:
        (folder / name).rename(folder / WEIGHTS_FILE)
        return
    index = {"metadata": {"total_size": total}, "weight_map": places}
    _write_json(folder / INDEX_FILE, index)


def split(shapes: Shapes, count: int) -> Iterator[list[str]]:
    """Names in their order, in ``count`` parts of about the same size."""
    size = bytes_of(shapes) / count
    part: list[str] = []
    filled, parts = 0.0, 1
    for name, shape in shapes.items():
        if part and filled >= parts * size:
            yield part
            part, parts = [], parts + 1
        part.append(name)
        filled += shape.numel() * DTYPE.itemsize
    yield part


def _write_tokenizer(folder: Path, config: OmniConfig, source: Path | None) -> None:
    if source is None and config.vocab_size < PUBLISHED_VOCABULARY:
        source = NANO_FOLDER
    if source is None:
        write_vocabulary(folder)
        return
    found = [source / name for name in TOKENIZER_FILES if (source / name).is_file()]
    if not found:
        raise FileNotFoundError(f"{source} has no tokenizer ({', '.join(TOKENIZER_FILES)})")
    for file in found:
        shutil.copyfile(file, folder / file.name)


def _write_json(path: Path, values: object) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
