"""How many people one machine answers: counted for the 7B model, measured for nano.

``counted`` works out, for GPUs of several sizes and each plan, how much memory is left beside the
model, how many minutes of conversation fit into it, and how many people can talk at once if the
card did nothing but read weights as fast as it can: the most that can be hoped for, of a model that
was never run there.
``cards`` says which plan the app chooses on cards of the usual sizes.
``measured`` lets so many people talk to nano here at once, each of whom asks, listens to the whole
answer, thinks, and asks again; they are served if nearly all answers are heard soon and whole.

Usage: python -m benchmarks.capacity [--users 1 2 4] [--replicas N] [--engine ADDRESS] [--turns 3]
       [--json FILE]
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from benchmarks.lib.machine import about_machine
from benchmarks.lib.program import command_of, flags_parser, report
from benchmarks.lib.rows import Row
from omni.config import AudioConfig, OmniConfig
from omni.conversation import Conversation, Message, Text
from omni.engine import Engine, EngineSettings
from omni.errors import OmniError
from omni.events import FRAMES_PER_SECOND, SPEECH_RATE, SpeechChunk
from omni.fair_queue import LineLimits
from omni.loading.memory import PUBLISHED_VOCODER_BYTES, cache_bytes, needed, tensor_bytes
from omni.loading.placement import published_need
from omni.loading.plans import PLANS, Plan, component_of
from omni.model.omni import OmniForCausalLM
from omni.options import GenerationOptions
from omni.remote.client import RemoteEngine
from omni.replicas.engine import Replicas

GB = 1e9
BF16 = 2  # bytes
# Name, memory (GB), memory read a second (GB): the makers' data sheets.
GPUS = (
    ("T4", 16, 320),
    ("L4", 24, 300),
    ("RTX 4090", 24, 1008),
    ("A100", 80, 2039),
    ("H100", 80, 3350),
    ("H200", 141, 4800),
)
CARDS_GB = (8, 10, 12, 16, 24, 32, 48, 80)  # memory as cards are sold
USABLE = 0.95  # of a card's memory: the rest is the driver's and lost between blocks
TALK_MINUTES = 10  # of a conversation whose context stays
# A minute of conversation: somebody always speaks, half of the time the model, which writes, too.
SPEAKS = 0.5
WORDS_A_SECOND = 2.5
TOKENS_A_WORD = 1.3
LATEST_S = 2.0  # until the first sound, for those who are served
SERVED = 0.95  # of the answers
THINK_S = 3.0  # between an answer and the next question
QUESTIONS = ("Hello, who are you?", "What can you do?", "How much is seven plus five?")


def positions_a_minute() -> float:
    """Of the context, for a minute of conversation."""
    written = SPEAKS * WORDS_A_SECOND * TOKENS_A_WORD
    return 60 * (FRAMES_PER_SECOND + written)


def frame_bytes(shapes: Mapping[str, tuple[int, ...]], plan: Plan) -> float:
    """Bytes of weights that a frame of codes reads: the blocks, the audio head, and its attention
    again for every further codebook.
    """
    total = again = 0.0
    for name, shape in shapes.items():
        size = tensor_bytes(name, shape, plan, BF16)
        if component_of(name) in ("layers", "audio_head"):
            total += size
        if name.startswith("audio_head.") and ".self_attention." in name:
            again += size
    codebooks = len(AudioConfig().codebook_sizes)
    return total + (codebooks - 1) * again


def counted() -> Iterator[Row]:
    """The 7B model on GPUs, by its tensors."""
    config = OmniConfig()
    with torch.device("meta"):
        state = OmniForCausalLM(config).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    minute = cache_bytes(config.to_dict(), BF16, 1) * positions_a_minute()
    yield Row("context_mb_a_minute", round(minute / 1e6, 1), note="keys and values, bf16")
    for plan in PLANS:
        resident = needed(
            shapes, config.to_dict(), plan, BF16, PUBLISHED_VOCODER_BYTES, positions=0
        ).device
        read = frame_bytes(shapes, plan)
        name = plan.name.replace(" ", "_").replace(",", "")
        yield Row(f"{name}_model_gb", round(resident / GB, 1), note="without contexts")
        for gpu, memory, speed in GPUS:
            left = USABLE * memory * GB - resident
            if left < TALK_MINUTES * minute:
                yield Row(f"{name}_{gpu}_talks", 0, note="does not fit")
                continue
            kept = int(left // (TALK_MINUTES * minute))
            # The share of a second of speech that its frames take, at best.
            share = FRAMES_PER_SECOND * read / (speed * GB)
            yield Row(
                f"{name}_{gpu}_talks",
                min(kept, int(1 / (SPEAKS * share))),
                note=f"{kept} contexts of {TALK_MINUTES} minutes fit; "
                f"a second of speech takes {share:.2f} s or more",
            )


def cards() -> Iterator[Row]:
    """The plan of the 7B model on cards of the usual sizes, as :func:`omni.loading.placement`
    would choose it for a spoken turn when nothing else is on the card.
    """
    for memory in CARDS_GB:
        fits = [plan for plan in PLANS if published_need(plan).device <= USABLE * memory * GB]
        name = f"card_{memory}_gb_needs"
        if not fits:
            yield Row(name, None, note="no plan fits: nano, or the 7B model on the CPU")
            continue
        need = published_need(fits[0])
        note = f"{fits[0].name}; {need.host / GB:.1f} GB wait in the host's memory"
        yield Row(name, round(need.device / GB, 1), note=note)


@dataclass
class Person:
    """Somebody who talks, and what they noticed."""

    name: str
    first_s: list[float] = field(default_factory=list)  # until each answer's first sound
    holes: int = 0  # answers whose sound came later than it was to be played
    refused: int = 0

    def talk(self, engine: Engine, turns: int) -> None:
        """Ask, listen, think, and ask again."""
        for number in range(turns):
            question = Message("user", (Text(QUESTIONS[number % len(QUESTIONS)]),))
            try:
                self._turn(engine, Conversation(messages=(question,)))
            except OmniError:
                self.refused += 1
            time.sleep(THINK_S)

    def _turn(self, engine: Engine, conversation: Conversation) -> None:
        began, first, heard, hole = time.perf_counter(), None, 0.0, False
        options = GenerationOptions(seed=1)
        for event in engine.turn(conversation, options, session=self.name):
            if not isinstance(event, SpeechChunk):
                continue
            now = time.perf_counter()
            if first is None:
                first = now
                self.first_s.append(now - began)
            hole = hole or (now > first + heard + 0.02 and heard > 0)
            heard += event.samples.size / SPEECH_RATE
        self.holes += hole
        if first is not None:
            time.sleep(max(0.0, first + heard - time.perf_counter()))


def measured(
    users: Sequence[int], replicas: int, turns: int, address: str | None = None
) -> Iterator[Row]:
    """nano on this machine, or whatever is served at an address."""
    settings = EngineSettings("nano", device="cpu")
    line = LineLimits(waiting=1000)
    if address:
        engine: Engine = RemoteEngine(address)
    else:
        engine = Replicas(settings, replicas, line) if replicas > 1 else Engine(settings, line=line)
    for _ in engine.load():
        pass
    Person("first").talk(engine, 1)
    try:
        for count in users:
            yield from _together(engine, count, turns)
    finally:
        if not engine.elsewhere:
            engine.unload()
        engine.close()


def _together(engine: Engine, count: int, turns: int) -> Iterator[Row]:
    people = [Person(f"person {number}") for number in range(count)]
    threads = [threading.Thread(target=one.talk, args=(engine, turns)) for one in people]
    for number, thread in enumerate(threads):
        thread.start()
        time.sleep(THINK_S / max(count, 1) if number < count - 1 else 0)  # not all in one breath
    for thread in threads:
        thread.join()
    first = [seconds for one in people for seconds in one.first_s]
    asked = count * turns
    lost = sum(one.holes + one.refused for one in people)
    soon = sum(seconds <= LATEST_S for seconds in first)
    served = "served" if (soon - lost) / asked >= SERVED else "not served"
    late = f"{np.percentile(first, 95):.2f}" if first else "-"
    yield Row(
        f"nano_{count}_people_first_sound_s",
        round(float(np.median(first)), 2) if first else None,
        note=f"{served}; 95 of 100 within {late} s; {lost} of {asked} answers with a hole",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The program."""
    parser = flags_parser(__doc__)
    parser.add_argument("--users", type=int, nargs="*", default=[1, 2, 4], help="people at once")
    parser.add_argument("--replicas", type=int, default=1, help="models side by side")
    parser.add_argument("--engine", metavar="ADDRESS", help="ask this one (omni serve-ray)")
    parser.add_argument("--turns", type=int, default=3, help="of each person")
    options = parser.parse_args(arguments)
    people = measured(options.users, options.replicas, options.turns, options.engine)
    rows = [*cards(), *counted(), *people]
    command = command_of("benchmarks.capacity", arguments)
    return report(rows, about_machine(), command, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
