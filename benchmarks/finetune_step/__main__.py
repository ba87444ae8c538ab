"""Steps of fine-tuning: how long they take, the memory's peak beside the plan's figure.

    python -m benchmarks.finetune_step --config mid
    python -m benchmarks.finetune_step --config full --kinds 4bit --tokens 512 --steps 1
    python -m benchmarks.finetune_step --device cuda --config full --tokens 2048 --steps 10

Random weights of any size (--model takes a checkpoint's instead), one row of --tokens positions,
half of them frames of speech. QLoRA (4bit) and LoRA (none) of rank 16, layers computed twice. A
step is forward, backward and the optimizer; the first one is not timed where there are more. On the
CPU --config full takes some minutes and about 13 GB with 4bit, 30 GB with none.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

import torch

from benchmarks.finetune_step.memory import KINDS, batch_of, peak, reset, shapes_of
from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Row
from benchmarks.speed.random_model import load_random
from finetune.lora.base import find_source, load_source
from finetune.lora.losses import LossWeights, compute_again, drop_unused, learning
from finetune.lora.options import LoraOptions
from finetune.lora.plan import Training, training_need
from finetune.lora.targets import with_adapters
from omni import devices
from omni.libraries import heap
from omni.model.omni import OmniForCausalLM

RATE = 1e-3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = flags_parser(__doc__)
    parser.add_argument("--config", default="mid", help="full, mid or nano")
    parser.add_argument("--model", help="a checkpoint whose weights to take instead")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=["4bit", "none"])
    flags = parser.parse_args(arguments)
    device = devices.choose_device(flags.device).name
    rows: list[Row] = []
    for kind in flags.kinds:
        training = replace(KINDS[kind], tokens=flags.tokens)
        bits = training.quantization
        options = LoraOptions(
            model=flags.model or flags.config,
            quantization=bits,
            device=device,
            dtype=flags.dtype,
            rank=training.rank,
            audio_head=training.audio_head,
        )
        held = 0 if device.startswith("cuda") else devices.held_bytes(device)
        if flags.model:
            model = load_source(find_source(options), options)
        else:
            if bits != "none" and device == "cpu":
                heap.return_large_blocks()  # as load_source does
            model = load_random(flags.config, device, flags.dtype, bits, offload=False).model
        for row in steps(model, options, training, flags.steps, held):
            rows.append(replace(row, name=f"{kind}_{row.name}"))
            print(*rows[-1].cells(), file=sys.stderr, flush=True)
        del model
        gc.collect()
        devices.release()
    about, command = about_machine(), command_of("benchmarks.finetune_step", arguments)
    return report(rows, about, command, flags.json)


def steps(
    model: OmniForCausalLM, options: LoraOptions, training: Training, count: int, held: int
) -> Iterator[Row]:
    """``count`` steps of a training.

    Args:
        held: bytes that the process had before the model, which are not counted.
    """
    device = str(model.device)
    shapes, config = shapes_of(model.config), model.config
    size = model.model.norm.weight.element_size()
    training = replace(
        training, dtype_bytes=size, checkpointing=training.checkpointing is not False
    )
    drop_unused(model)
    heap.trim()
    learner = learning(model, LossWeights())
    learner.set_attn_implementation("sdpa")  # as on a GPU
    if training.checkpointing:
        compute_again(learner)
    torch.manual_seed(options.seed)
    adapted = with_adapters(learner, options, options.model).train()
    optimizer = torch.optim.AdamW([w for w in adapted.parameters() if w.requires_grad], lr=RATE)
    batch = {name: value.to(model.device) for name, value in batch_of(config, training).items()}
    reset(device)
    times, losses = [], []
    for _ in range(count):
        began = time.perf_counter()
        loss = adapted(**batch)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))  # waits for the device
        times.append(time.perf_counter() - began)
    took = median(times[1:] or times)
    planned = training_need(shapes, config, training).training
    measured = peak(device) - held
    yield Row("step_s", round(took, 2))
    yield Row("tokens_per_s", round(training.tokens / took))
    yield Row("loss", " ".join(f"{loss:.3f}" for loss in losses))
    yield Row("planned_gb", round(planned / 1e9, 2))
    yield Row("peak_gb", round(measured / 1e9, 2), note=f"{measured / planned:.2f} of the plan")


if __name__ == "__main__":
    sys.exit(main())
