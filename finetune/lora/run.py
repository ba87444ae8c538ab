"""A training from its files on: rows read, memory planned, the model loaded, adapters trained.

Knows: the order, and that no row is left out in silence. Does not know: flags, the trainer.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from finetune.lora import base
from finetune.lora.data.examples import Example, ExampleWriter
from finetune.lora.data.refused import RefusedError
from finetune.lora.data.rows import BadRow, Row, read_rows
from finetune.lora.losses import drop_unused
from finetune.lora.options import LoraOptions, RunRecord, TrainingError
from finetune.lora.plan import Training, sentence, training_need
from finetune.lora.training import Tell, Trained, train
from omni import devices
from omni.conversation import Message, Text
from omni.errors import ConversationError, MediaError, gigabytes
from omni.libraries import heap

SHOWN = 5  # rows that are told by name
TELL_EVERY = 50  # rows, while media are encoded


@dataclass(frozen=True)
class RunFiles:
    """What a training reads and where it writes."""

    data: Path  # the rows
    folder: Path  # of the run: checkpoints, log, figure, adapter
    held_out: Path | None = None  # rows that are looked at and never learnt
    mix: Path | None = None  # rows of what it knew: each is learnt from once in the whole training
    skip_bad: bool = False  # rows that cannot be used are left out, and told
    anyway: bool = False  # begin where the memory does not seem to suffice


def run(options: LoraOptions, files: RunFiles, tell: Tell) -> Trained:
    """Train; what a run that broke off did is not done again.

    Raises:
        DataError: a file of rows cannot be read.
        TrainingError: rows, memory, disk or the run's folder do not allow it.
        CheckpointError, ResourceError: the model cannot be loaded.
    """
    learnt = _rows(files.data, options, files.skip_bad, tell)
    held_out = _rows(files.held_out, options, files.skip_bad, tell) if files.held_out else []
    known = _rows(files.mix, options, files.skip_bad, tell) if files.mix else []
    if not files.held_out and options.eval_share:
        learnt, held_out = split(learnt, options.eval_share, options.seed)
        tell(f"{len(held_out)} of the rows are held out")
    source = base.find_source(options)
    tell(f"{source.name} in {source.dtype} on {source.device} ({source.dtype_reason})")
    _plan(source, options, files, tell)
    model = base.load_source(source, options)
    writer = ExampleWriter.of_model(model, source.tokenizer, options.max_tokens)
    skip = files.skip_bad
    examples = _written(writer, learnt, files.data, skip, tell)
    others = _written(writer, held_out, files.held_out or files.data, skip, tell)
    mixed = _written(writer, known, files.mix or files.data, skip, tell)
    drop_unused(model)
    heap.trim()
    _make(files.folder)
    if base.is_first():
        digests = [digest(some) for some in (examples, others, mixed)]
        RunRecord(options.to_json(), *digests).check(files.folder)
    return train(model, source.name, examples, others, options, files.folder, tell, mixed=mixed)


def split(rows: Sequence[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows to learn and rows to hold out, at least one of each.

    Raises:
        TrainingError: ``rows-few``.
    """
    if len(rows) < 2:
        raise TrainingError("rows-few", "One row cannot be split: give more, or no --eval-share.")
    count = min(len(rows) - 1, max(1, round(share * len(rows))))
    chosen = set(random.Random(seed).sample(range(len(rows)), count))
    return (
        [row for n, row in enumerate(rows) if n not in chosen],
        [row for n, row in enumerate(rows) if n in chosen],
    )


def text_only(row: Row) -> Row:
    """The row without the speech of its answers."""
    said = row.conversation
    messages = tuple(
        replace(message, parts=_texts(message), spoken=False)
        if message.role == "assistant"
        else message
        for message in said.messages
    )
    return replace(row, conversation=replace(said, messages=messages))


def _texts(message: Message) -> tuple[Text, ...]:
    return tuple(part for part in message.parts if isinstance(part, Text))


def digest(examples: Sequence[Example]) -> str:
    """Of everything that is learnt; empty for no examples."""
    if not examples:
        return ""
    known = hashlib.sha256()
    for example in examples:
        for tensor in (example.ids, example.text_targets, example.codes, example.frame_targets):
            known.update(tensor.numpy().tobytes())
        known.update(example.image_features.float().numpy().tobytes())
        known.update(example.video_features.float().numpy().tobytes())
    return known.hexdigest()


def _rows(path: Path, options: LoraOptions, skip_bad: bool, tell: Tell) -> list[Row]:
    found = read_rows(path)
    _refuse(path, found.bad, skip_bad, tell)
    if found.ignored:
        keys = ", ".join(f"{key} ({count} rows)" for key, count in sorted(found.ignored.items()))
        tell(f"{path.name} has keys that are not read: {keys}")
    rows = list(found.rows)
    if options.mode == "text":
        rows = [text_only(row) for row in rows if row.form != "reading"]
        if len(rows) < len(found.rows):
            readings = len(found.rows) - len(rows)
            tell(f"left out in mode text: {readings} rows of {path.name} that are read aloud")
    if options.mode == "speech":
        silent = [row for row in rows if not row.speech]
        if len(silent) == len(rows):
            raise TrainingError(
                "rows-silent",
                "No answer of {name} is spoken, so there is no speech to learn: add <audio> to "
                "its answers, or give --mode text.",
                name=path.name,
            )
    return rows


def _refuse(path: Path, bad: Sequence[BadRow], skip: bool, tell: Tell) -> None:
    for row in bad[:SHOWN]:
        tell(str(row))
    if not bad:
        return
    more = f" (and {len(bad) - SHOWN} more)" if len(bad) > SHOWN else ""
    if not skip:
        raise TrainingError(
            "rows-bad",
            "{count} rows of {name} cannot be used, see above{more}: mend them, or leave them out "
            "with --skip-bad. `python -m finetune check {path}` tells all of them.",
            count=len(bad),
            name=path.name,
            more=more,
            path=path,
        )
    tell(f"left out: {len(bad)} rows of {path.name}{more}")


def _written(
    writer: ExampleWriter, rows: Sequence[Row], path: Path, skip_bad: bool, tell: Tell
) -> list[Example]:
    """The rows of a file as examples; media are encoded once for ever."""
    examples: list[Example] = []
    bad: list[BadRow] = []
    shortened = 0
    for number, row in enumerate(rows, 1):
        try:
            examples.append(writer.write(row))
            shortened += bool(examples[-1].forgotten)
        except (RefusedError, MediaError, ConversationError) as error:
            bad.append(BadRow(row.line, row.name, str(error)))
        if number % TELL_EVERY == 0 and number < len(rows):
            tell(f"encoding media of {path.name}: {number} of {len(rows)} rows")
    _refuse(path, bad, skip_bad, tell)
    if shortened:
        tell(
            f"{shortened} rows of {path.name} are longer than --max-tokens: their first messages "
            "are left out"
        )
    if rows and not examples:
        raise TrainingError("rows-none", "No row of {name} is left to learn from.", name=path.name)
    return examples


def _plan(source: base.Source, options: LoraOptions, files: RunFiles, tell: Tell) -> None:
    """Tell what memory it takes.

    Raises:
        TrainingError: ``memory-short``.
    """
    training = planned(source, options, mixes=files.mix is not None)
    shapes = {name: info.shape for name, info in source.checkpoint.tensors.items()}
    need = training_need(shapes, source.config, training)
    free = devices.free_bytes(source.device)
    tell(sentence(training, need, source.device, free))
    if need.total > free and not files.anyway:
        raise TrainingError(
            "memory-short",
            "It needs about {need} GB and {free} GB are free: give --quantization 4bit, fewer "
            "--max-tokens or a smaller --batch; --anyway begins all the same.",
            need=gigabytes(need.total),
            free=gigabytes(free),
        )


def planned(source: base.Source, options: LoraOptions, mixes: bool = False) -> Training:
    """The options as the plan takes them; ``mixes``: rows are mixed in."""
    again = {"auto": None, "on": True, "off": False}[options.checkpointing]
    few = options.quantization != "none" and source.device.startswith("cuda")
    return Training(
        quantization=options.quantization,
        rank=options.rank,
        tokens=options.max_tokens,
        batch=options.batch,
        frames=None if options.learns_speech else 0,
        audio_head=options.audio_head,
        held=mixes and options.mix_by == "scores",
        bridges=options.bridges,
        checkpointing=again,
        dtype_bytes=source.dtype.itemsize,
        moment_bytes=1 if few and options.optimizer == "auto" else 4,
    )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            "folder-unwritable",
            "{folder} cannot be written to ({reason}): give another --out.",
            folder=folder,
            reason=error.strerror,
        ) from error
