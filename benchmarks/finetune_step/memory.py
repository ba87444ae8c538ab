"""What a step of fine-tuning takes of memory, beside what the plan says it takes.

    python -m benchmarks.finetune_step.memory
    python -m benchmarks.finetune_step.memory --config full --tokens 512 --kinds 4bit
    python -m benchmarks.finetune_step.memory --device cuda --config full --tokens 2048 4096

Random weights; half of a row's positions are frames of speech. Each size is measured in a process
of its own, by two steps: on a GPU the most that is allocated, on the CPU (Linux) the most that is
resident, less what the process held before the model. The ratio is measured to planned; the plan
is to be above, and not far.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Bound, Row
from benchmarks.speed.random_model import load_random
from benchmarks.speed.turns import peak_bytes, reset_peak
from finetune.lora.batches import Batch
from finetune.lora.losses import IGNORED, LossWeights, compute_again, drop_unused, learning
from finetune.lora.options import LoraOptions
from finetune.lora.plan import Training, training_need
from finetune.lora.targets import with_adapters
from omni import devices
from omni.config import OmniConfig
from omni.libraries import heap
from omni.model.omni import OmniForCausalLM

STEPS = 2  # the second one has the optimizer's memory
RATIO = Bound(1.05, at_most=True)  # of measured to planned
KINDS = {
    "none": Training(),
    "4bit": Training("4bit"),
    "head": Training(audio_head=True, rank=64),
    "kept": Training(checkpointing=False),
    "text": Training(frames=0),
    "held": Training(held=True),
}
_PEAK, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Measured:
    """Bytes of one training."""

    step: int  # the most while a step is made
    planned: int
    trained: int  # values


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = flags_parser(__doc__)
    parser.add_argument("--config", default="mid", help="full, mid or nano")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--tokens", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--one", action="store_true", help="measure here, and print JSON")
    flags = parser.parse_args(arguments)
    if flags.one:
        training = replace(KINDS[flags.kinds[0]], tokens=flags.tokens[0])
        print(json.dumps(asdict(measure(flags.config, flags.device, flags.dtype, training))))
        return 0
    rows = [row for kind in flags.kinds for row in _rows(flags, kind)]
    command = command_of("benchmarks.finetune_step.memory", arguments)
    return report(rows, about_machine(), command, flags.json)


def _rows(flags: object, kind: str) -> Iterator[Row]:
    config, device, dtype = (getattr(flags, name) for name in ("config", "device", "dtype"))
    for tokens in getattr(flags, "tokens"):  # noqa: B009 - argparse's own class is not typed
        name = f"{kind}_{tokens}"
        command = [
            *(sys.executable, "-m", "benchmarks.finetune_step.memory", "--one", "--config", config),
            *("--device", device, "--dtype", dtype, "--kinds", kind, "--tokens", str(tokens)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = done.stderr.strip().splitlines()[-1:] or ["it was killed"]
            yield Row(f"{name}_step_gb", None, note=reason[0])
            continue
        found = Measured(**json.loads(done.stdout.splitlines()[-1]))
        yield Row(f"{name}_planned_gb", round(found.planned / 1e9, 2))
        yield Row(f"{name}_step_gb", round(found.step / 1e9, 2))
        yield Row(f"{name}_ratio", round(found.step / found.planned, 2), RATIO)


def measure(name: str, device: str, dtype: str, training: Training) -> Measured:
    """Two steps of a training on a model of random weights."""
    device = devices.choose_device(device).name
    bits = training.quantization
    held = 0 if device.startswith("cuda") else devices.held_bytes(device)
    if bits != "none" and device == "cpu":
        heap.return_large_blocks()  # as a training does
    loaded = load_random(name, device, dtype, bits, offload=False)
    model, config = loaded.model, loaded.config
    shapes = shapes_of(config)
    size = model.model.norm.weight.element_size()
    training = replace(training, dtype_bytes=size)
    del loaded
    options = LoraOptions(rank=training.rank, audio_head=training.audio_head, quantization=bits)
    drop_unused(model)
    learner = learning(model, LossWeights())
    learner.set_attn_implementation("sdpa")  # as on a GPU
    if training.checkpointing is not False:
        training = replace(training, checkpointing=True)
        compute_again(learner)
    adapted = with_adapters(learner, options, name)
    trained = [weight for weight in adapted.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    batch = {key: value.to(model.device) for key, value in batch_of(config, training).items()}
    adapted.train()
    heap.trim()
    reset(device)
    for _ in range(STEPS):
        adapted(**batch)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    need = training_need(shapes, config, training)
    return Measured(peak(device) - held, need.training, sum(w.numel() for w in trained))


def batch_of(config: OmniConfig, training: Training) -> Batch:
    """Rows of text, then of speech."""
    generator = torch.Generator().manual_seed(0)
    audio = config.audio
    frames = training.frames_scored // training.batch
    text = training.tokens - frames
    ids = torch.randint(10, 1000, (training.batch, training.tokens), generator=generator)
    ids[:, text:] = audio.audio_pad_token_id
    targets = torch.roll(ids, -1, 1)
    targets[:, max(0, text - 1) :] = IGNORED
    sizes = torch.tensor(audio.codebook_sizes)
    count = (training.batch * frames, audio.num_codebooks)
    codes = (torch.rand(count, generator=generator) * sizes).long()
    places = [
        row * training.tokens + text - 1 + n for row in range(training.batch) for n in range(frames)
    ]
    return {
        "ids": ids,
        "text_targets": targets,
        "codes": codes,
        "frame_places": torch.tensor(places, dtype=torch.long),
        "frame_targets": codes,
        "image_features": torch.zeros(0, config.visual.embed_dim),
        "video_features": torch.zeros(0, config.visual.embed_dim),
        "held": torch.full((training.batch,), training.held),
    }


def shapes_of(config: OmniConfig) -> dict[str, tuple[int, ...]]:
    """Of every tensor of a model, by name."""
    with torch.device("meta"):
        state = OmniForCausalLM(config).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def reset(device: str) -> None:
    """Let :func:`peak` begin anew."""
    reset_peak(device)
    if not device.startswith("cuda"):
        _RESET.write_text("5", encoding="ascii")  # Linux: the peak begins anew


def peak(device: str) -> int:
    """The most bytes since :func:`reset`: allocated on a GPU, resident on the CPU (Linux)."""
    if device.startswith("cuda"):
        return peak_bytes(device)
    line = next(x for x in _PEAK.read_text(encoding="ascii").splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
