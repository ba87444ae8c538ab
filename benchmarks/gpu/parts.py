"""What each part measures, as rows; each runs in a process of its own.

Knows: models of random weights in three precisions, the embedded one, which rows of
``benchmarks.latency`` a part is made of. Does not know: time limits, other parts.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import torch

from benchmarks import latency
from benchmarks.gpu.graphs import equality_rows
from benchmarks.gpu.held_to_tests import marked_files, test_rows
from benchmarks.lib.bounds import bounds_for
from benchmarks.lib.rows import Row
from benchmarks.speed import turns
from benchmarks.speed.question import spoken, write_question
from benchmarks.speed.turns import Lengths, TurnTimes
from omni import assistant as assistant_module
from omni import devices
from omni.assistant import Assistant
from omni.conversation import Conversation
from omni.events import SPEECH_RATE, SpeechChunk
from omni.loading.load import LoadedModel
from omni.loading.memory import PUBLISHED_VOCODER_BYTES, needed
from omni.loading.placement import candidates
from omni.requests import TurnRequest
from omni.settings import QuantizationChoice
from omni.speech.overlap import JobsBeside, JobsHere

SPOKEN_TURN = 1024  # positions of 30 s heard and 30 s spoken
MODEL_ROWS = "load,text,audio,turn,memory"
QUICK = (  # lengths of turns that only try the program
    *("--question", "1", "--segments", "1", "--text-tokens", "2", "--frames", "7"),
    *("--speed-tokens", "8", "--speed-frames", "4"),
)
DTYPE = {"cuda": "bfloat16"}  # of the full shape, by kind of device; else latency's own


@dataclass(frozen=True)
class What:
    """What a part is about."""

    device: str  # as torch spells it
    config: str  # sizes of the random weights: full, mid or nano
    golden: tuple[str, ...]  # what pytest runs as golden numbers
    quick: bool = False  # turns of a second, to try the program

    @property
    def on_gpu(self) -> bool:
        """Whether there is anything that only a GPU does."""
        return self.device.startswith("cuda")


def part_rows(name: str, what: What) -> Iterator[Row]:
    """The rows of the part ``name``, as they are known."""
    measure: dict[str, Callable[[What], Iterator[Row]]] = {
        "tests": _marked_tests,
        "graphs": _graphs,
        "bf16": lambda what: _model(what, "none"),
        "4bit": lambda what: _model(what, "4bit"),
        "8bit": lambda what: _model(what, "8bit"),
        "stream": _stream,
        "nano": _nano,
        "published": _published,
        "golden": lambda what: test_rows(what.golden),
    }
    yield from measure[name](what)


def _marked_tests(what: What) -> Iterator[Row]:
    files = marked_files("gpu")
    if not what.on_gpu:  # they would all fail: that they are found is what can be tried
        yield Row("files", len(files), note=f"not run on {what.device}: {', '.join(files)}")
        return
    yield from test_rows(["-m", "gpu", *files])


def _flags(what: What, *more: str) -> argparse.Namespace:
    """The flags of benchmarks.latency for random weights of these sizes."""
    dtype = DTYPE.get(what.device.partition(":")[0], "auto")
    sizes = ("--config", what.config, "--random-weights", "--dtype", dtype)
    return _parsed(what, *sizes, *more)


def _parsed(what: What, *arguments: str) -> argparse.Namespace:
    parser = latency.parser()
    given = [*arguments, "--device", what.device, *(QUICK if what.quick else ())]
    return latency.checked(parser, parser.parse_args(given))


def _model(what: What, quantization: QuantizationChoice) -> Iterator[Row]:
    """Load, speeds, a turn, memory; the peak beside what the plan said."""
    if quantization != "none" and importlib.util.find_spec("bitsandbytes") is None:
        yield Row("load_s", None, note="bitsandbytes is not installed here: nothing was measured")
        return
    flags = _flags(what, "--quantization", quantization, "--only", MODEL_ROWS)
    with _loaded(flags) as run:
        yield Row("plan_gb", plan_bytes(run.loaded) / 1e9, note=run.loaded.report.memory_reason)
        bounds = bounds_for(what.config, what.device, flags.dtype, quantization)
        for row in latency.measure_model(run, flags.only):
            yield Row(row.name, row.value, bounds.get(row.name), row.note)
        if what.on_gpu:
            reserved = sum(map(torch.cuda.max_memory_reserved, devices.cuda_devices(what.device)))
            yield Row("reserved_gb", reserved / 1e9, note="with what torch keeps for itself")


@contextmanager
def _loaded(flags: argparse.Namespace, loaded: LoadedModel | None = None) -> Iterator[latency.Run]:
    """A loaded model and what latency measures of it."""
    with TemporaryDirectory() as folder:
        yield latency.run_of(flags, loaded or latency.load(flags), Path(folder))


def plan_bytes(loaded: LoadedModel) -> int:
    """What the plan of ``loaded`` says that a spoken turn of 30 s takes on the device."""
    report, model = loaded.report, loaded.model
    with torch.device("meta"):
        state = type(model)(loaded.config).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    size = devices.DTYPES[report.dtype].itemsize
    for plan in candidates("auto", report.device):
        if plan.name == report.plan:
            config = loaded.config.to_dict()
            return needed(shapes, config, plan, size, PUBLISHED_VOCODER_BYTES, SPOKEN_TURN).device
    raise ValueError(f"{report.plan} is none of the plans for {report.device}")


def _graphs(what: What) -> Iterator[Row]:
    """Equality first; then speeds and first sound with captured steps and without."""
    loaded = None
    for captured in ("on", "off"):
        flags = _flags(what, "--compile", captured, "--only", "text,audio,turn")
        with _loaded(flags, loaded) as run:
            if loaded is None:
                loaded = run.loaded
                yield from equality_rows(loaded)
            for row in latency.measure_model(run, flags.only):
                yield Row(f"{captured}.{row.name}", row.value, note=row.note)


def _stream(what: What) -> Iterator[Row]:
    """A turn whose speech is decoded beside generation, and one where it waits for it."""
    flags = _flags(what)
    sounds = {}
    with _loaded(flags) as run:
        question = spoken(write_question(run.folder / "question.wav", run.question_s))
        for name, jobs in (("on", JobsBeside), ("off", lambda device: JobsHere())):
            with patch.object(assistant_module, "jobs_on", jobs):
                heard(run.assistant, question, latency.WARM_UP)
                times, sounds[name] = heard(run.assistant, question, run.lengths)
            for measure in ("first_sound_s", "total_s", "stall_s", "real_time_factor"):
                yield Row(f"{name}.{measure}", getattr(times, measure))
    same = np.array_equal(sounds["on"], sounds["off"])
    furthest = int(np.abs(sounds["on"].astype(int) - sounds["off"].astype(int)).max())
    yield Row("sound_equal", float(same), note=f"at most {furthest} of 32768 apart")


def heard(
    assistant: Assistant, question: Conversation, lengths: Lengths
) -> tuple[TurnTimes, np.ndarray]:
    """A turn with its times, and its samples, int16."""
    request = TurnRequest(question, lengths.options())
    times = TurnTimes()
    pieces = [np.zeros(0, np.int16)]
    for event in assistant.run(request):
        if isinstance(event, SpeechChunk):
            now = time.perf_counter() - request.started
            times.heard(now, len(event.samples) / SPEECH_RATE)
            pieces.append(event.samples)
    times.total_s = time.perf_counter() - request.started
    return times, np.concatenate(pieces)


def _published(what: What) -> Iterator[Row]:
    """Speeds and a turn the published way, on the same weights."""
    flags = _flags(what, "--only", "text,audio,turn")
    with _loaded(flags) as run:
        frames = max(run.speed_frames // 4, 4)
        text, audio = turns.naive_speeds(run.loaded, run.speed_tokens // 4, frames)
        yield Row("text_tokens_per_s", text)
        yield Row("audio_frames_per_s", audio)
        question = spoken(write_question(run.folder / "question.wav", run.question_s))
        times = turns.naive_turn(run.loaded, question, run.lengths.options())
        yield Row("first_text_s", times.first_text_s)
        yield Row("first_sound_s", times.first_sound_s)
        yield Row("real_time_factor", times.real_time_factor)


def _nano(what: What) -> Iterator[Row]:
    """The embedded model: what it says ends where it ends it."""
    flags = _parsed(what, "--model", "nano", "--only", MODEL_ROWS)
    with _loaded(flags) as run:
        yield from latency.measure_model(run, flags.only)
