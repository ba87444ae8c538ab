"""One training: from rows to an adapter, with transformers' trainer.

Knows: the order of the work, how the trainer is set up, how it goes on after a break.
Does not know: flags; how rows are read (:mod:`finetune.lora.data`), losses, adapters' names.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments

from finetune.lora import saving
from finetune.lora.batches import (
    Drawing,
    InOrder,
    collate,
    places_needed,
    training_order,
)
from finetune.lora.data.examples import Example
from finetune.lora.losses import LossWeights, compute_again, learning
from finetune.lora.options import LoraOptions
from finetune.lora.progress import Telling, draw_losses
from finetune.lora.targets import trained_parameters, with_adapters
from omni.model.omni import OmniForCausalLM

logger = logging.getLogger(__name__)
Tell = Callable[[str], None]
LARGE = 1_000_000_000  # parameters, from which layers are computed twice unless told otherwise
TIMES = 10  # that a training saves and looks at held-out rows, unless told otherwise
PARTS = ("text", "audio", "coarse")  # losses that are told beside their sum
STATE_FACTOR = 3  # a checkpoint's size: the adapters and two moments of each of their values


@dataclass(frozen=True)
class Trained:
    """What came of a training."""

    adapter: Path  # the folder
    steps: int  # of the optimizer, in all
    loss: float | None  # of the last steps that were logged; None: nothing was left to do
    held_out: float | None  # the lowest loss on held-out rows; None: there were none
    seconds: float  # of this process
    parameters: int  # trained
    figure: Path | None  # the picture of the losses


@dataclass(frozen=True)
class Learnt:
    """The examples of a training."""

    again: Sequence[Example]  # seen in every epoch
    held_out: Sequence[Example]  # never learnt
    once: Sequence[Example]  # seen once in all


class LoraTrainer(Trainer):
    """The trainer with our order of examples, losses by part, and whole checkpoints."""

    def __init__(self, *args: Any, folder: Path, **named: Any) -> None:
        super().__init__(*args, **named)
        self.model_accepts_loss_kwargs = False  # a loss is the mean of its batch
        self._folder = folder
        self._parts: dict[bool, dict[str, Tensor]] = {True: {}, False: {}}
        self._counted: dict[bool, int] = {True: 0, False: 0}
        self.ids_seen = 0

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Sampler[int]:
        places = self.train_dataset
        assert isinstance(places, Drawing)
        return InOrder(len(places))  # the order is in the data

    @property
    def _adapted(self) -> PeftModel:
        assert isinstance(self.model, PeftModel)
        return self.model

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The loss; its parts are kept for the log."""
        losses: dict[str, Tensor] = model(**inputs)
        parts, training = self._parts[model.training], model.training
        for name in PARTS:
            value = losses[name].detach().float()
            parts[name] = parts[name] + value if name in parts else value
        self._counted[training] += 1
        if training:
            self.ids_seen += inputs["ids"].numel()
        return (losses["loss"], losses) if return_outputs else losses["loss"]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the parts, averaged since the last time."""
        for training, prefix in ((True, ""), (False, "eval_")):
            if f"{prefix}loss" in logs and self._counted[training]:
                for name, total in self._parts[training].items():
                    logs[prefix + name] = float(total) / self._counted[training]
                self._parts[training], self._counted[training] = {}, 0
        super().log(logs, start_time)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """The adapters alone, in peft's format."""
        if self.args.should_save:
            write_adapter(self._adapted, Path(output_dir or self._folder))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        step = self.state.global_step
        size = STATE_FACTOR * 4 * trained_parameters(self._adapted)
        with saving.writing(self._folder, step, size):
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                saving.mark_whole(self._folder, step)


def write_adapter(model: PeftModel, folder: Path) -> None:
    """The adapters in peft's format; nothing is asked of the Hub."""
    model.save_pretrained(str(folder), save_embedding_layers=False)


def train(
    model: OmniForCausalLM,
    base: str,
    examples: Sequence[Example],
    held_out: Sequence[Example],
    options: LoraOptions,
    folder: Path,
    tell: Tell,
    callbacks: Sequence[TrainerCallback] = (),
    mixed: Sequence[Example] = (),
) -> Trained:
    """Train adapters on a loaded model, from the last whole checkpoint in ``folder`` on.

    Args:
        model: loaded for inference; it is changed.
        base: the checkpoint's name, written into the adapter.
        tell: takes lines for people.
        callbacks: for tests.
        mixed: examples of what it knew, each seen once in the whole training.

    Raises:
        TrainingError: the disk is full.
    """
    began = time.monotonic()
    seed_all(options.seed)
    model = learning(model, loss_weights(options))
    if wants_checkpointing(options, model):
        compute_again(model)
    adapted = with_adapters(model, options, base)
    parameters = trained_parameters(adapted)
    more = f", and {len(mixed)} mixed in once" if mixed else ""
    tell(f"{parameters:,} values are trained, of rank {options.rank}; {len(examples)} rows{more}")
    saving.clear_unfinished(folder)
    known = saving.checkpoints(folder)
    learnt = Learnt(examples, held_out, mixed)
    trainer = _trainer(adapted, model, learnt, options, folder, tell, callbacks)
    if known:
        tell(f"going on from {known[-1].name}")
    # Else the trainer would use all GPUs of this process at once, which batches of ours do not.
    trainer.args._n_gpu = min(1, trainer.args.n_gpu)
    trainer.train(resume_from_checkpoint=str(known[-1]) if known else None)
    adapter = folder / saving.ADAPTER_FOLDER
    if trainer.args.should_save:
        with saving.writing(folder, trainer.state.global_step, 4 * parameters):
            write_adapter(adapted, adapter)
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return Trained(
        adapter,
        trainer.state.global_step,
        losses[-1] if losses else None,
        trainer.state.best_metric,
        time.monotonic() - began,
        parameters,
        draw_losses(folder) if trainer.args.should_save else None,
    )


def _trainer(
    adapted: PeftModel,
    model: OmniForCausalLM,
    learnt: Learnt,
    options: LoraOptions,
    folder: Path,
    tell: Tell,
    callbacks: Sequence[TrainerCallback],
) -> LoraTrainer:
    config = model.config
    sizes, pad = config.audio.codebook_sizes, config.audio.audio_pad_token_id
    batch = options.batch * options.accumulate * int(os.environ.get("WORLD_SIZE", "1"))
    rows, once, held_out = len(learnt.again), len(learnt.once), learnt.held_out
    places = places_needed(rows, options.epochs, options.steps, batch, once)
    examples = [*learnt.again, *learnt.once]
    held = rows if options.mix_by == "scores" else None
    lengths = [len(example.ids) for example in examples]
    order = training_order(lengths, options.batch, places, options.seed, once)
    asked = arguments(options, places // batch, bool(held_out), folder, model)
    trainer = LoraTrainer(
        model=adapted,
        args=asked,
        folder=folder,
        train_dataset=Drawing(examples, order, sizes, pad, options.code_noise, options.seed, held),
        eval_dataset=Drawing(held_out, range(len(held_out)), sizes, pad) if held_out else None,
        data_collator=collate,
    )
    trainer.pop_callback(_printer())
    trainer.add_callback(Telling(folder, tell, lambda: trainer.ids_seen))
    if held_out and options.patience:
        trainer.add_callback(EarlyStoppingCallback(options.patience))
    if importlib.util.find_spec("tensorboard") and asked.should_save:
        trainer.add_callback(_tensorboard(folder))
    for callback in callbacks:
        trainer.add_callback(callback)
    return trainer


def arguments(
    options: LoraOptions, steps: int, evaluates: bool, folder: Path, model: OmniForCausalLM
) -> TrainingArguments:
    """The options as the trainer takes them."""
    device = model.device.type
    save_every = options.save_every or max(1, -(-steps // TIMES))
    # The best state is known at evaluations alone: where it is wanted, these are the savings.
    eval_every = options.eval_every or save_every
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=options.batch,
        per_device_eval_batch_size=options.batch,
        gradient_accumulation_steps=options.accumulate,
        learning_rate=options.rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(options.warmup * steps),
        weight_decay=options.weight_decay,
        max_grad_norm=options.clip,
        optim=optimizer(options, device),
        logging_steps=options.log_every,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=eval_every,
        save_strategy="steps",
        save_steps=eval_every if evaluates else save_every,
        save_total_limit=options.keep,
        load_best_model_at_end=evaluates,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        prediction_loss_only=True,
        label_names=["text_targets"],
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        seed=options.seed,
        use_cpu=device == "cpu",
        dataloader_pin_memory=device == "cuda",
        ddp_find_unused_parameters=True,  # a batch may have no speech
    )


def loss_weights(options: LoraOptions) -> LossWeights:
    """What counts how much in the mode of the options."""
    return LossWeights(
        text=float(options.learns_text),
        speech=options.speech_weight if options.learns_speech else 0.0,
        fine=options.fine_weight,
    )


def wants_checkpointing(options: LoraOptions, model: OmniForCausalLM) -> bool:
    """Whether layers are computed a second time for their gradients."""
    if options.checkpointing != "auto":
        return options.checkpointing == "on"
    return sum(weight.numel() for weight in model.parameters()) >= LARGE


def optimizer(options: LoraOptions, device: str) -> str:
    """The optimizer's name: on a GPU with few bits its state is in 8 bits and may leave the GPU."""
    if options.optimizer != "auto":
        return options.optimizer
    few = options.quantization != "none" and device == "cuda"
    return "paged_adamw_8bit" if few else "adamw_torch"


def seed_all(seed: int) -> None:
    """Every generator that a training draws from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _printer() -> type[TrainerCallback]:
    from transformers import PrinterCallback

    return PrinterCallback


def _tensorboard(folder: Path) -> TrainerCallback:
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    return TensorBoardCallback(SummaryWriter(str(folder / "tensorboard")))
