"""How fast a model answers: first text, first sound, speeds, memory; ours beside the published way.

    python -m benchmarks.latency --config mid --random-weights --dtype float32 --naive
    python -m benchmarks.latency --model nano --json nano.json
    python -m benchmarks.latency --config mid --random-weights --dtype bfloat16 --beside 1

Random weights never end a turn, so its length is the one asked for and runs can be compared; a
checkpoint's turns end where it ends them, at the latest at these lengths. With --beside N speeds
and a turn are measured again while N other processes keep a core busy each.
Rows by group (``--only``): machine, load, text, audio, wave, turn, memory, page.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.lib.bounds import BESIDE, bounds_for
from benchmarks.lib.machine import about_machine, sentence
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Row
from benchmarks.speed import turns, wave
from benchmarks.speed.beside import busy
from benchmarks.speed.ceilings import ceiling_rows, weight_bytes
from benchmarks.speed.page import page_ready_s
from benchmarks.speed.question import spoken, write_question
from benchmarks.speed.random_model import load_random
from benchmarks.speed.spans import KINDS, Recorder
from benchmarks.speed.turns import Lengths
from omni import devices
from omni.assistant import Assistant
from omni.events import FRAMES_PER_SECOND
from omni.loading import load as loading
from omni.loading.load import LoadedModel
from omni.settings import QUANTIZATIONS, EngineSettings

GROUPS = ("machine", "load", "text", "audio", "wave", "turn", "memory", "page")
CONFIGS = ("full", "mid", "nano")
WARM_UP = Lengths(text_tokens=2, frames=8, segments=1)
STEPS_COMPARED = (6, 4)
LONG_TURN_S = 30.0  # of question and of answer, for the memory


@dataclass(frozen=True)
class Run:
    """What is measured, and how."""

    assistant: Assistant
    lengths: Lengths
    question_s: float
    speed_tokens: int
    speed_frames: int
    wave_s: float
    naive: bool
    natural: bool
    captured: bool  # whether steps are captured as CUDA graphs
    folder: Path
    beside: int = 0  # busy processes

    @property
    def loaded(self) -> LoadedModel:
        """The model."""
        return self.assistant.loaded

    @property
    def device(self) -> str:
        """Where the model is."""
        return self.loaded.report.device


def parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """The flags."""
    parser = flags_parser(description)
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", help="nano, a folder, or a name on the Hugging Face Hub")
    what.add_argument("--config", choices=CONFIGS, help="sizes of the model with --random-weights")
    add(
        "--random-weights",
        action="store_true",
        help="use random weights: the only ones that --config has",
    )
    add("--device", default="auto", help="auto, cpu, mps, cuda, cuda:N")
    add("--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"))
    add("--quantization", default="none", choices=QUANTIZATIONS)
    add("--compile", default="on", choices=("on", "off"), help="capture steps as CUDA graphs")
    add("--offload", action=argparse.BooleanOptionalAction, help="default: as the plan has it")
    add(
        "--flow-steps",
        type=int,
        metavar="N",
        help="steps of the flow from codes to mel (default: the checkpoint's own)",
    )
    add("--naive", action="store_true", help="measure the published way beside ours")
    add(
        "--beside",
        type=int,
        default=0,
        metavar="N",
        help="measure speeds and a turn again beside so many busy processes",
    )
    add("--only", default="", metavar="GROUPS", help=f"some of {','.join(GROUPS)}")
    _add_lengths(parser)
    return parser


def _add_lengths(parser: argparse.ArgumentParser) -> None:
    """The flags about how much is asked, answered and timed."""
    add = parser.add_argument
    add(
        "--question",
        type=float,
        default=3.0,
        metavar="SECONDS",
        help="length of the spoken question",
    )
    add("--text-tokens", type=int, default=10, help="text tokens before each piece of speech")
    add("--frames", type=int, default=25, help="frames of 80 ms in each piece of speech")
    add("--segments", type=int, default=2, help="pieces of speech in a turn")
    add(
        "--speed-tokens",
        type=int,
        default=48,
        help="tokens over which the speed of text is measured",
    )
    add(
        "--speed-frames",
        type=int,
        default=32,
        help="frames over which the speed of speech is measured",
    )
    add(
        "--wave",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="length of speech that is decoded from codes to a wave",
    )


def checked(parser: argparse.ArgumentParser, flags: argparse.Namespace) -> argparse.Namespace:
    """``flags`` complete; the parser refuses what contradicts itself."""
    if flags.config and not flags.random_weights:
        parser.error("--config needs --random-weights: it has sizes only")
    if flags.random_weights and not flags.config:
        parser.error("--random-weights needs --config")
    flags.only = [name for name in flags.only.split(",") if name] or list(GROUPS)
    unknown = set(flags.only) - set(GROUPS)
    if unknown:
        parser.error(f"--only knows {', '.join(GROUPS)}")
    return flags


def load(flags: argparse.Namespace) -> LoadedModel:
    """The model of the flags."""
    if flags.config:
        return load_random(
            flags.config,
            flags.device,
            flags.dtype,
            flags.quantization,
            flags.offload,
            flags.flow_steps,
        )
    settings = EngineSettings(
        model=flags.model or "nano",
        quantization=flags.quantization,
        device=flags.device,
        dtype=flags.dtype,
        offload=flags.offload,
        flow_steps=flags.flow_steps,
    )
    steps = loading.load(settings)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


def measure(flags: argparse.Namespace) -> Iterator[Row]:
    """The rows, one after the other as they are known, without bounds."""
    if set(flags.only) != {"page"}:
        with tempfile.TemporaryDirectory() as folder:
            run = run_of(flags, load(flags), Path(folder))
            yield from measure_model(run, flags.only)
    if "page" in flags.only:
        yield Row("page_ready_s", page_ready_s(), note="python app.py to HTTP 200")


def run_of(flags: argparse.Namespace, loaded: LoadedModel, folder: Path) -> Run:
    """What is measured of ``loaded``; files are written into ``folder``."""
    return Run(
        Assistant(loaded, EngineSettings(compile=flags.compile)),
        Lengths(flags.text_tokens, flags.frames, flags.segments),
        flags.question,
        flags.speed_tokens,
        flags.speed_frames,
        flags.wave,
        flags.naive,
        not flags.config,
        flags.compile == "on",
        folder,
        flags.beside,
    )


def measure_model(run: Run, only: Sequence[str]) -> Iterator[Row]:
    """The rows of the groups that need the model."""
    report = run.loaded.report
    if "load" in only:
        drawn = "" if report.trained else "weights drawn, not read"
        yield Row("load_s", report.load_s, note=drawn)
        yield Row("parameters_billion", report.parameters / 1e9)
        yield Row(
            "weights_gb",
            weight_bytes(run.loaded.model, run.loaded.vocoder) / 1e9,
            note=report.memory_reason,
        )
        note = f"{report.plan}, codes to mel in {report.speech_dtype}"
        yield Row("dtype", report.dtype, note=note)
    if "machine" in only and run.device == "cpu":
        yield from ceiling_rows(run.loaded, run.wave_s)
    if {"text", "audio", "turn"} & set(only):
        question = spoken(write_question(run.folder / "warm.wav", 1.0))
        turns.our_turn(run.assistant, question, WARM_UP.options())
    quiet = [*speeds(run, only)]
    yield from quiet
    if "turn" in only:
        yield from turn_rows(run)
    if run.beside:
        yield from beside_rows(run, only, quiet)
    if "wave" in only:
        yield from wave_rows(run)
    if "memory" in only:
        yield from memory_rows(run)


def speeds(run: Run, only: Sequence[str]) -> Iterator[Row]:
    """Text tokens and audio frames a second."""
    if "text" in only:
        yield Row(
            "text_tokens_per_s", turns.our_text_speed(run.loaded, run.speed_tokens, run.captured)
        )
    if "audio" in only:
        speed = turns.our_audio_speed(run.loaded, run.speed_frames, run.captured)
        yield Row("audio_frames_per_s", speed, note="12.5 is real time, before codes to sound")
    if run.naive and {"text", "audio"} & set(only):
        text, audio = turns.naive_speeds(
            run.loaded, run.speed_tokens, max(run.speed_frames // 4, 4)
        )
        yield Row("naive.text_tokens_per_s", text)
        yield Row("naive.audio_frames_per_s", audio)


def turn_rows(run: Run) -> Iterator[Row]:
    """One spoken turn: when the first text and sound come, what the time until then went into."""
    question = spoken(write_question(run.folder / "question.wav", run.question_s))
    options = run.lengths.options(run.natural)
    times = turns.our_turn(run.assistant, question, options)
    said = f"{run.question_s:g} s asked, {times.speech_s:.1f} s answered"
    yield Row("first_text_s", times.first_text_s, note=said)
    yield Row("first_sound_s", times.first_sound_s, note="from Send, at the engine")
    yield Row("real_time_factor", times.real_time_factor)
    yield Row("stall_s", times.stall_s, note="silence inside the answer, played from first sound")
    with Recorder() as recorder:
        again = turns.our_turn(run.assistant, question, options)
    busy = recorder.busy(again.first_sound_s)
    for kind in KINDS:
        yield Row(f"first_sound.{kind}_s", busy[kind], note="of the time until the first sound")
    if run.naive:
        naive = turns.naive_turn(run.loaded, question, options)
        yield Row("naive.first_text_s", naive.first_text_s)
        yield Row("naive.first_sound_s", naive.first_sound_s)
        yield Row("naive.real_time_factor", naive.real_time_factor)
        if naive.first_sound_s and times.first_sound_s:
            yield Row("first_sound_over_naive", times.first_sound_s / naive.first_sound_s)


def beside_rows(run: Run, only: Sequence[str], quiet: Sequence[Row]) -> Iterator[Row]:
    """Speeds and a turn beside busy processes, and what is left of the quiet speeds."""
    before = {row.name: row.value for row in quiet}
    with busy(run.beside):
        for row in speeds(replace(run, naive=False), only):
            yield Row(f"beside.{row.name}", row.value, note=f"{run.beside} busy processes")
            alone = before[row.name]
            if isinstance(row.value, float) and isinstance(alone, float):
                yield Row(f"beside.{row.name}_share", row.value / alone, BESIDE)
        if "turn" in only:
            question = spoken(write_question(run.folder / "beside.wav", run.question_s))
            times = turns.our_turn(run.assistant, question, run.lengths.options(run.natural))
            yield Row("beside.first_sound_s", times.first_sound_s)
            yield Row("beside.real_time_factor", times.real_time_factor)
            yield Row("beside.stall_s", times.stall_s)


def wave_rows(run: Run) -> Iterator[Row]:
    """Codes to wave in every dtype, and with fewer steps of the flow."""
    times = wave.wave_times(run.loaded, run.wave_s, steps=STEPS_COMPARED)
    best = wave.best(times)
    seconds = f"{run.wave_s:g}s"
    yield Row(f"wave_{seconds}_s", best.total_s, note=f"{best.dtype}, the fastest within 3 %")
    for time in times:
        name = time.dtype if time.steps == times[0].steps else f"{time.steps}_steps"
        name = f"wave_{time.seconds:g}s.{name}"
        note = f"mel {time.mel_s:.2f} s, vocoder {time.vocoder_s:.2f} s"
        if time.seconds < run.wave_s:
            note += f"; longer than float32 takes for {run.wave_s:g} s"
        yield Row(f"{name}_s", time.total_s, note=note)
        yield Row(f"{name}_mel_error", time.error, note="relative L2 to float32")
    if run.naive:
        yield Row(f"naive.wave_{seconds}_s", turns.naive_wave_s(run.loaded, run.wave_s))


def memory_rows(run: Run) -> Iterator[Row]:
    """The most memory held; on a GPU in a turn of 30 s asked and 30 s answered."""
    if run.device.startswith("cuda"):
        turns.reset_peak(run.device)
        question = spoken(write_question(run.folder / "long.wav", LONG_TURN_S))
        lengths = Lengths(run.lengths.text_tokens, round(LONG_TURN_S * FRAMES_PER_SECOND), 1)
        turns.our_turn(run.assistant, question, lengths.options(run.natural))
        note = "allocated, 30 s asked and 30 s answered"
    else:
        note = "of the whole process until here"
    yield Row("peak_memory_gb", turns.peak_bytes(run.device) / 1e9, note=note)


def bounded(rows: Iterator[Row], flags: argparse.Namespace) -> Iterator[Row]:
    """The rows with the bounds of this configuration, device and dtype."""
    bounds: dict = {}
    config = flags.config or flags.model or "nano"
    for row in rows:
        if not bounds:
            device = devices.choose_device(flags.device).name
            bounds = bounds_for(config, device, flags.dtype, flags.quantization)
        yield replace(row, bound=bounds.get(row.name, row.bound))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write; 1 where a bound is missed."""
    program = parser()
    flags = checked(program, program.parse_args(arguments))
    about = about_machine()
    print(sentence(about), file=sys.stderr)
    rows = []
    for row in bounded(measure(flags), flags):
        print(f"{row.name} {row.cells()[1]}", file=sys.stderr, flush=True)
        rows.append(row)
    about["threads"] = about_machine()["threads"]  # the load sets them
    print(file=sys.stderr)
    return report(rows, about, command_of("benchmarks.latency", arguments), flags.json)


if __name__ == "__main__":
    sys.exit(main())
