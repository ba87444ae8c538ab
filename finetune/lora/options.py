"""What a training of adapters is asked to do.

Knows: the settings, what they mean and which make sense together. Does not know: torch, flags.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from omni.errors import OmniError

Mode: TypeAlias = Literal["text", "speech", "both"]
Bits: TypeAlias = Literal["none", "4bit", "8bit"]
Mixing: TypeAlias = Literal["scores", "rows"]
MODES: tuple[Mode, ...] = get_args(Mode)
MIXINGS: tuple[Mixing, ...] = get_args(Mixing)
ALL_BITS: tuple[Bits, ...] = get_args(Bits)


class TrainingError(OmniError):
    """Something that keeps a training, a merge or a comparison from going on."""


@dataclass(frozen=True)
class LoraOptions:
    """How adapters are trained; every field is a flag of ``python -m finetune lora``."""

    model: str = "auto"  # the checkpoint: nano, a folder, or a name on the Hugging Face Hub
    quantization: Bits = "none"  # of the frozen layers: 4bit is QLoRA
    device: str = "auto"  # auto, cpu, mps, cuda or cuda:N
    dtype: str = "auto"  # of the frozen weights: auto, float32, bfloat16 or float16
    # What is learnt of an answer: its text, its speech, or both. text leaves the speech of the
    # rows out altogether; speech reads the text and learns the frames alone.
    mode: Mode = "both"
    rank: int = 16  # of the adapters
    alpha: int = 32  # an adapter's product is scaled by alpha / rank
    dropout: float = 0.0  # before an adapter; the audio head's have none
    audio_head: bool = False  # the audio head gets adapters too: for new voices
    bridges: bool = False  # the vision bridge is trained as a whole: for new kinds of pictures
    epochs: float = 3.0  # times that every row is seen
    steps: int = 0  # of the optimizer; 0: as many as the epochs need
    batch: int = 4  # rows at a time, on each device
    accumulate: int = 1  # batches to one step of the optimizer
    rate: float = 2e-4  # learning rate at its highest
    warmup: float = 0.05  # of the steps, over which the rate rises; then it falls on a cosine
    weight_decay: float = 0.0  # of the adapters
    clip: float = 1.0  # of the gradient's norm
    optimizer: str = "auto"  # auto, or one of transformers' names
    fine_weight: float = 0.3  # of each codebook after the first, in the loss of speech
    speech_weight: float = 1.0  # of the loss of speech, beside that of text
    # Of the codes that the model has said itself, at most so many are replaced by chance while it
    # learns: who always sees perfect ones never learns to get over a slip.
    code_noise: float = 0.0
    # What rows that are mixed in teach: what they say, or to score it as the model did before.
    mix_by: Mixing = "scores"
    max_tokens: int = 2048  # ids of a row; a longer one is left out and told
    checkpointing: Literal["auto", "on", "off"] = "auto"  # layers are computed twice, to save room
    eval_share: float = 0.0  # of the rows that are held out, where there is no eval file
    eval_every: int = 0  # steps; 0: ten times in the training
    patience: int = 0  # evaluations without an improvement after which it ends; 0: never
    save_every: int = 0  # steps; 0: ten times in the training
    keep: int = 2  # whole checkpoints that stay
    log_every: int = 10  # steps
    seed: int = 0

    def __post_init__(self) -> None:
        """
        Raises:
            TrainingError: ``option-range``.
        """
        for name in ("rank", "batch", "accumulate", "max_tokens", "keep", "log_every"):
            if getattr(self, name) < 1:
                raise _out_of_range(name, "1 or more")
        for name in ("rate", "alpha", "epochs", "clip"):
            if not getattr(self, name) > 0:
                raise _out_of_range(name, "more than 0")
        for name in ("steps", "eval_every", "patience", "save_every", "seed", "weight_decay"):
            if getattr(self, name) < 0:
                raise _out_of_range(name, "0 or more")
        for name in ("warmup", "dropout", "code_noise", "eval_share"):
            if not 0 <= getattr(self, name) < 1:
                raise _out_of_range(name, "from 0 to less than 1")
        if self.dropout and self.audio_head:
            raise TrainingError(
                "option-dropout",
                "The audio head's adapters know no dropout: leave --dropout or --audio-head out.",
            )

    @property
    def learns_text(self) -> bool:
        """Whether the text of answers is learnt."""
        return self.mode != "speech"

    @property
    def learns_speech(self) -> bool:
        """Whether the frames of answers are learnt."""
        return self.mode != "text"

    def to_json(self) -> dict[str, Any]:
        """As it stands in a run's folder."""
        return asdict(self)


# What may change between two starts of one training without making another one of it.
FREE = frozenset({"device", "log_every", "keep", "save_every", "eval_every", "patience"})


@dataclass(frozen=True)
class RunRecord:
    """What a run's folder was begun with: the options, and the data by content."""

    options: dict[str, Any]
    data: str  # SHA-256 of the rows and of the media they name
    eval_data: str  # the same of the held-out rows; empty: none
    mix: str = ""  # the same of the rows that are mixed in; empty: none

    def check(self, folder: Path) -> None:
        """Write the record into ``folder``, or hold it against the one that is there.

        Raises:
            TrainingError: ``run-other``, the folder holds another training.
        """
        file = folder / "run.json"
        mine = asdict(self)
        if not file.is_file():
            file.write_text(json.dumps(mine, indent=2) + "\n", encoding="utf-8")
            return
        there = json.loads(file.read_text(encoding="utf-8"))
        known = {field.name for field in fields(LoraOptions)}
        changed = [
            f"{name} {there['options'].get(name)} there, {value} here"
            for name, value in self.options.items()
            if name in known - FREE and there["options"].get(name) != value
        ]
        files = ("data", "eval_data", "mix")
        changed += ["other rows" for name in files if there.get(name, "") != mine[name]]
        if changed:
            raise TrainingError(
                "run-other",
                "{folder} holds another training ({changed}): give another --out, or empty it.",
                folder=folder,
                changed=", ".join(changed),
            )


def _out_of_range(name: str, wanted: str) -> TrainingError:
    return TrainingError(
        "option-range", "--{name} must be {wanted}.", name=name.replace("_", "-"), wanted=wanted
    )
