"""``python -m finetune merge``: adapters into their checkpoint's weights, as a folder of its own.

Knows: the published layout, file by file; which weights an adapter changes, by peft. Only one
weight file is in memory at a time. Does not know: training.
"""

from __future__ import annotations

import argparse
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel
from peft.tuners.lora.layer import LoraLayer
from peft.utils import ModulesToSaveWrapper
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from finetune.flags import Commands, say
from finetune.lora.base import told
from finetune.lora.options import TrainingError
from finetune.lora.saving import is_full
from omni.errors import gigabytes
from omni.loading import load
from omni.loading.checkpoint import Checkpoint
from omni.model.omni import OmniForCausalLM

ADAPTER_NAME = "default"
_BASE = "base_model.model."
_WRAPPED = ".base_layer"
LEFT_OUT = {".git", ".cache", "__pycache__"}  # of a checkpoint's folder


@dataclass(frozen=True, eq=False)
class Changes:
    """What an adapter changes, by the published names of the weights."""

    added: dict[str, tuple[Tensor, Tensor, float]]  # B, A and scale: B @ A * scale is added
    replaced: dict[str, Tensor]

    def apply(self, name: str, weight: Tensor, dtype: torch.dtype | None) -> Tensor:
        """A weight after the change, computed in float32, in ``dtype`` (None: its own)."""
        kept = dtype or weight.dtype
        if not weight.is_floating_point():
            return weight
        if name in self.replaced:
            return self.replaced[name].to(kept)
        if name not in self.added:
            return weight.to(kept)
        left, right, scale = self.added[name]
        return (weight.float() + scale * (left.float() @ right.float())).to(kept)


def changes_of(adapter: Path, checkpoint: Checkpoint) -> Changes:
    """What an adapter in peft's format changes of a checkpoint.

    Raises:
        TrainingError: ``adapter-missing``, ``adapter-other`` or ``adapter-kind``.
    """
    config = load.read_config(checkpoint)
    with torch.device("meta"):
        empty = OmniForCausalLM(config)
    try:
        with warnings.catch_warnings():  # peft asks by a name that transformers has given up
            warnings.simplefilter("ignore", FutureWarning)
            model = PeftModel.from_pretrained(
                empty, str(adapter), ADAPTER_NAME, low_cpu_mem_usage=True, torch_device="cpu"
            )
    except (RuntimeError, ValueError, KeyError) as error:
        raise TrainingError(
            "adapter-other",
            "{adapter} was not trained on a model of the sizes of {model} ({detail}): give the "
            "checkpoint that it was trained on.",
            adapter=adapter,
            model=checkpoint.name,
            detail=str(error).strip().splitlines()[0],
        ) from error
    added = dict(_added(model, adapter))
    replaced = dict(_replaced(model))
    lost = [name for name in (*added, *replaced) if name not in checkpoint.tensors]
    assert not lost, lost
    return Changes(added, replaced)


def base_name(adapter: Path) -> str:
    """The checkpoint that an adapter was trained on.

    Raises:
        TrainingError: ``adapter-missing``.
    """
    if not (adapter / "adapter_config.json").is_file():
        raise TrainingError(
            "adapter-missing",
            "{adapter} has no adapter_config.json: give the folder of an adapter, as in "
            "runs/mine/adapter.",
            adapter=adapter,
        )
    return PeftConfig.from_pretrained(str(adapter)).base_model_name_or_path or "auto"


def _added(model: PeftModel, adapter: Path) -> Iterator[tuple[str, tuple[Tensor, Tensor, float]]]:
    for name, layer in model.named_modules():
        if not isinstance(layer, LoraLayer) or ADAPTER_NAME not in layer.lora_A:
            continue
        if layer.use_dora.get(ADAPTER_NAME) or layer.lora_bias.get(ADAPTER_NAME):
            raise TrainingError(
                "adapter-kind",
                "{adapter} is of a kind that cannot be merged here: give a plain LoRA adapter.",
                adapter=adapter,
            )
        weight = getattr(layer, "parameter_name", "weight")
        place = name.removeprefix(_BASE).replace(_WRAPPED, "")
        left, right = layer.lora_B[ADAPTER_NAME].weight, layer.lora_A[ADAPTER_NAME].weight
        yield f"{place}.{weight}", (left.detach(), right.detach(), layer.scaling[ADAPTER_NAME])


def _replaced(model: PeftModel) -> Iterator[tuple[str, Tensor]]:
    for name, module in model.named_modules():
        if isinstance(module, ModulesToSaveWrapper):
            place = name.removeprefix(_BASE)
            for key, value in module.modules_to_save[ADAPTER_NAME].state_dict().items():
                yield f"{place}.{key}", value


def merge(
    adapter: Path, out: Path, model: str | None = None, dtype: torch.dtype | None = None
) -> Path:
    """Write the merged checkpoint to ``out``: whole, or not at all.

    Args:
        model: the checkpoint that the adapter was trained on; None: as the adapter says.
        dtype: of the weights; None: as they are stored.

    Raises:
        TrainingError: the adapter does not fit, or the folder cannot be written.
        CheckpointError: the checkpoint cannot be found or is broken.
    """
    name = model or base_name(adapter)
    base_name(adapter)
    checkpoint = told(load.find_checkpoint(name))
    changes = changes_of(adapter, checkpoint)
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
    except OSError as error:
        raise _unwritten(out, error) from error
    except Exception as error:
        if is_full(error):  # safetensors has an error of its own for it
            raise _unwritten(out, error) from error
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return out


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
        with safe_open(path, framework="pt") as file:
            tensors = {
                name: changes.apply(name, file.get_tensor(name), dtype) for name in file.keys()
            }
        save_file(tensors, draft / path.name, {"format": "pt"})


def add(commands: Commands) -> argparse.ArgumentParser:
    """The command and its flags."""
    command = commands.add_parser("merge", help="an adapter and its model to one folder")
    command.add_argument("--adapter", type=Path, required=True, help="folder, as runs/mine/adapter")
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
    say(f"{gigabytes(size)} GB in {out}: python app.py --model {out}")
    return 0
