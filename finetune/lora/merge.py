"""``python -m finetune merge``: adapters into their checkpoint's weights, as a folder of its own.

Knows: the published layout, file by file; only one weight file is in memory at a time. What an
adapter holds is read as for the app (:mod:`omni.loading.adapters.files`).
Does not know: training.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from finetune.flags import Commands, say
from finetune.lora.base import told
from finetune.lora.options import TrainingError
from finetune.lora.saving import is_full
from omni.errors import gigabytes
from omni.loading import load
from omni.loading.adapters.files import CONFIG_FILE, AdapterFiles, find_adapter, read_adapter
from omni.loading.checkpoint import Checkpoint, read_json

LEFT_OUT = {".git", ".cache", "__pycache__"}  # of a checkpoint's folder


@dataclass(frozen=True, eq=False)
class Changes:
    """What an adapter changes of a checkpoint's weights."""

    files: AdapterFiles
    values: dict[str, Tensor]  # of the adapter's file

    def apply(self, name: str, weight: Tensor, dtype: torch.dtype | None) -> Tensor:
        """A weight after the change, computed in float32, in ``dtype`` (None: its own)."""
        if not weight.is_floating_point():
            return weight
        kept = dtype or weight.dtype
        if name in self.files.whole:
            return self.values[self.files.whole[name]].to(kept)
        if name not in self.files.pairs:
            return weight.to(kept)
        pair = self.files.pairs[name]
        added = self.values[pair.high].float() @ self.values[pair.low].float()
        return (weight.float() + pair.scale * added).to(kept)


def merge(
    adapter: str, out: Path, model: str | None = None, dtype: torch.dtype | None = None
) -> Path:
    """Write the merged checkpoint to ``out``: whole, or not at all.

    Args:
        adapter: a folder, that of a run, or a name on the Hugging Face Hub.
        model: the checkpoint that the adapter was trained on; None: as the adapter says.
        dtype: of the weights; None: as they are stored.

    Raises:
        TrainingError: the folder is there already, or cannot be written.
        CheckpointError: adapter or checkpoint cannot be found, are broken, or do not fit.
    """
    folder = told(find_adapter(adapter))
    checkpoint = told(load.find_checkpoint(model or base_name(folder)))
    load.read_config(checkpoint)
    shapes = {name: info.shape for name, info in checkpoint.tensors.items()}
    files = read_adapter(adapter, folder, shapes)
    changes = Changes(files, load_file(files.file))
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingError(
            "merge-exists", "{out} is there already: give a folder that is not.", out=out
        )
    draft = out.with_name(f".{out.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        _write(checkpoint, changes, draft, dtype)
        if out.is_dir():
            out.rmdir()
        draft.rename(out)
    except Exception as error:
        if isinstance(error, OSError) or is_full(error):  # safetensors has an error of its own
            raise _unwritten(out, error) from error
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return out


def base_name(adapter: Path) -> str:
    """The checkpoint that an adapter was trained on."""
    return read_json(adapter / CONFIG_FILE).get("base_model_name_or_path") or "auto"


def _write(
    checkpoint: Checkpoint, changes: Changes, draft: Path, dtype: torch.dtype | None
) -> None:
    weights = {path.resolve() for path in checkpoint.weight_files}
    for path in sorted(checkpoint.folder.rglob("*")):
        place = path.relative_to(checkpoint.folder)
        if path.is_file() and not LEFT_OUT & set(place.parts) and path.resolve() not in weights:
            (draft / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, draft / place)
    for path in checkpoint.weight_files:
        tensors = load_file(path)
        for name, weight in tensors.items():
            tensors[name] = changes.apply(name, weight, dtype)
        save_file(tensors, draft / path.name, {"format": "pt"})


def _unwritten(out: Path, error: BaseException) -> TrainingError:
    if is_full(error):
        free = shutil.disk_usage(out.parent).free if out.parent.is_dir() else 0
        return TrainingError(
            "disk-full",
            "The disk of {folder} is full ({free} GB are free): make room there. {kept}",
            folder=out,
            free=gigabytes(free),
            kept="Nothing was written.",
        )
    return TrainingError(
        "merge-unwritten",
        "{out} cannot be written ({detail}): give another --out.",
        out=out,
        detail=error,
    )


def add(commands: Commands) -> argparse.ArgumentParser:
    """The command and its flags."""
    command = commands.add_parser("merge", help="an adapter and its model to one folder")
    command.add_argument("--adapter", required=True, help="folder of an adapter or of a run")
    command.add_argument("--out", type=Path, required=True, help="folder to write")
    command.add_argument("--model", help="the checkpoint; default: the one it was trained on")
    command.add_argument(
        "--dtype",
        choices=("stored", "float32", "bfloat16"),
        default="stored",
        help="number format of the weights; stored: as in the checkpoint",
    )
    return command


def run(flags: argparse.Namespace) -> int:
    """Merge, and say where."""
    dtype = None if flags.dtype == "stored" else getattr(torch, flags.dtype)
    out = merge(flags.adapter, flags.out, flags.model, dtype)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    shown = f"{gigabytes(size)} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
    say(f"{shown} in {out}: python app.py --model {out}")
    return 0
