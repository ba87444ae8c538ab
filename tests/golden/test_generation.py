"""The loop against the published code's greedy traces, token for token and frame for frame.

Prompts come as ids and their media as golden tensors. Only the stop texts need the tokenizer's
spelling; a set without tokenizer files tells enough of it (see TraceTokenizer).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

import omni.generation.steps
from omni.events import Finished
from omni.generation.loop import GenerationLoop, GenerationRun
from omni.generation.sampling import adjust, mark_seen, pick, seen_ids
from omni.model.omni import OmniForCausalLM
from omni.options import PUBLISHED, READING, GenerationOptions, Sampling
from omni.prompting.slots import CodesSlot, FrameSlot, ImageSlot, Prompt
from omni.prompting.tokenizer import OmniTokenizer
from tests.support.golden_model import golden_model, pictures, segments_of
from tests.support.golden_set import GoldenSet, golden_set

TOLERANCE = {"atol": 1e-4, "rtol": 0.0}
TEXT_MAX, AUDIO_MAX = 50, 40  # of the traces, unless their args say otherwise
TRACES: dict[str, Any] = golden_set().json("generation")["traces"]
TURNS = [name for name, trace in TRACES.items() if "rounds" in trace]
READINGS = [name for name, trace in TRACES.items() if "piece_ids" in trace]
BATCHES = [name for name, trace in TRACES.items() if "attention_mask" in trace]
UNKNOWN = "�"


def end_of_text(golden: GoldenSet) -> int:
    """The id that the checkpoint's generation ends at."""
    text = (golden.checkpoint / "generation_config.json").read_text(encoding="utf-8")
    return int(json.loads(text)["eos_token_id"])


class TraceTokenizer:
    """As much of the spelling as can be known without the tokenizer's files.

    Every vocabulary of this family begins with the 256 bytes in one known order; a text call of
    one token gives that token's text; the special tokens' ids are in the configuration.
    """

    def __init__(self, golden: GoldenSet) -> None:
        audio, visual = golden.config["audio_config"], golden.config["visual_config"]
        end = end_of_text(golden)
        self.special = SimpleNamespace(
            audio_pad=audio["audio_pad_token_id"],
            audiogen_start=audio["audiogen_start_token_id"],
            audiogen_end=audio["audiogen_end_token_id"],
            end_of_text=end,
            pads=frozenset(
                {
                    audio["audio_pad_token_id"],
                    visual["image_pad_token_id"],
                    golden.config["video_config"]["video_place_token_id"],
                }
            ),
        )
        self.added_ids = frozenset(range(end, self.special.audiogen_end + 1))
        self.size = max(self.added_ids) + 1
        shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
        order = [*shown, *(byte for byte in range(256) if byte not in shown)]
        self.known = {token: bytes([byte]) for token, byte in enumerate(order)}
        self.known |= {token: f"<{token}>".encode() for token in self.added_ids}
        for trace in TRACES.values():
            for part in trace.get("rounds", ()):
                if len(part["text_new_ids"]) == 1 and UNKNOWN not in part["text_str"]:
                    self.known[part["text_new_ids"][0]] = part["text_str"].encode()

    def piece(self, token: int) -> str:
        return self.known.get(token, b"\xff").decode("utf-8", errors="replace")

    def stream(self) -> Any:
        return SimpleNamespace(push=lambda token: "")


@pytest.fixture
def model() -> OmniForCausalLM:
    return golden_model()


@pytest.fixture(scope="module")
def tokenizer(golden: GoldenSet) -> Any:
    if golden.tokenizer is None:
        return TraceTokenizer(golden)
    return OmniTokenizer.from_folder(golden.tokenizer)


@dataclass
class Round:
    """One text call and the speech behind it, as they were drawn."""

    ids_before: tuple[int, ...]
    text_scores: list[Tensor] = field(default_factory=list)
    text_ids: list[int] = field(default_factory=list)
    hidden: list[Tensor] = field(default_factory=list)
    first_scores: list[Tensor] = field(default_factory=list)  # of codebook 0
    first_adjusted: list[Tensor] = field(default_factory=list)
    frames: list[list[int]] = field(default_factory=list)


class Recorder:
    """Writes down everything that a turn draws."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, model: OmniForCausalLM) -> None:
        self.rounds: list[Round] = []
        self.turn: GenerationRun | None = None
        self._speaking = False
        self._generate = model.audio_head.generate
        monkeypatch.setattr(model.audio_head, "generate", self._frame)
        monkeypatch.setattr(omni.generation.steps, "pick", self._pick)

    def _frame(self, hidden: Tensor, choose: Any) -> Tensor:
        self._speaking = True
        if not self.rounds:
            self._begin()
        self.rounds[-1].hidden.append(hidden[0])
        codes = self._generate(hidden, choose)
        self.rounds[-1].frames.append(codes[0].tolist())
        return codes

    def _begin(self) -> None:
        assert self.turn is not None
        self.rounds.append(Round(self.turn.ids))

    def _pick(self, scores: Tensor, sampling: Sampling, *args: Any, **kwargs: Any) -> Tensor:
        chosen = pick(scores, sampling, *args, **kwargs)
        generating_frame = self._speaking and len(self.rounds[-1].hidden) > len(
            self.rounds[-1].frames
        )
        if generating_frame:
            if len(self.rounds[-1].first_scores) < len(self.rounds[-1].hidden):
                self.rounds[-1].first_scores.append(scores[0].clone())
                adjusted = adjust(scores, sampling, args[0].clone())
                self.rounds[-1].first_adjusted.append(adjusted[0])
            return chosen
        if self._speaking or not self.rounds:
            self._begin()
            self._speaking = False
        self.rounds[-1].text_scores.append(scores[0].clone())
        self.rounds[-1].text_ids.append(int(chosen))
        return chosen


def media(golden: GoldenSet, prompt: str) -> Iterator[CodesSlot | ImageSlot | FrameSlot]:
    """The golden tensors of the inputs that a prompt names, in its order."""
    for kind, file in segments_of(prompt):
        stem = Path(file).stem
        if kind == "audio":
            yield CodesSlot(golden.tensors("audio")[f"{stem}.codes"].numpy())
        else:
            slot = ImageSlot if kind == "img" else FrameSlot
            yield from map(slot, pictures(golden)[stem])


def options_of(args: dict[str, Any]) -> GenerationOptions:
    """The published settings as a trace was made: greedy, with its limits and penalties."""
    text_max = args.get("text_max", TEXT_MAX)

    def greedy(sampling: Sampling, most: int) -> Sampling:
        penalty = sampling.repetition_penalty if args.get("rep", True) else 1.0
        return replace(sampling, repetition_penalty=penalty, max_new=most, greedy=True)

    return replace(
        PUBLISHED,
        speech=args.get("audiogen", True),
        first_text=greedy(PUBLISHED.first_text, text_max),
        next_text=greedy(PUBLISHED.next_text, text_max),
        text_only=greedy(PUBLISHED.text_only, text_max),
        audio=greedy(PUBLISHED.audio, args.get("audio_max", AUDIO_MAX)),
        max_rounds=args["rounds"],
    )


def skip_unless_spelled(tokenizer: Any, trace: dict[str, Any], text_max: int) -> None:
    """Skips a trace with a stop at a token whose text nothing but the tokenizer knows."""
    for part in trace["rounds"]:
        last = part["text_new_ids"][-1]
        at_stop = len(part["text_new_ids"]) < text_max and last not in tokenizer.added_ids
        if at_stop and tokenizer.piece(last) == UNKNOWN:
            pytest.skip(
                f"token {last} stops a text call and this set has no tokenizer files to spell it"
            )


@pytest.mark.parametrize("name", TURNS)
def test_turn(
    golden: GoldenSet,
    model: OmniForCausalLM,
    tokenizer: Any,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    trace, tensors = TRACES[name], golden.tensors("generation")
    options = options_of(trace["args"])
    skip_unless_spelled(tokenizer, trace, options.first_text.max_new)
    recorder = Recorder(monkeypatch, model)
    prompt = Prompt(trace["prompt_ids"], tuple(media(golden, trace["prompt"])))
    turn = recorder.turn = GenerationLoop(model, tokenizer).run(prompt, options)
    *_, last = turn

    assert isinstance(last, Finished)
    assert len(recorder.rounds) == len(trace["rounds"])
    ids_after = [*(part.ids_before for part in recorder.rounds[1:]), turn.ids]
    for index, (made, expected) in enumerate(zip(recorder.rounds, trace["rounds"], strict=True)):
        assert made.text_ids == expected["text_new_ids"]
        before = expected["sequence_before_overwrite"]
        assert [*made.ids_before, *made.text_ids] == before
        assert made.frames == (expected["frames"] or [[]])[:-1]  # without the appended row
        if expected["sequence_after_audio"] is not None:
            assert list(ids_after[index]) == expected["sequence_after_audio"]
        recorded = {
            "text_logits": made.text_scores,
            "audio_logits0": made.first_scores,
            "audio_scores0": made.first_adjusted,
            "llm_hidden_per_frame": made.hidden,
        }
        for kind, rows in recorded.items():
            golden_rows = tensors.get(f"{name}.round{index}.{kind}")
            if golden_rows is not None:
                some = torch.stack(rows[: len(golden_rows)])
                torch.testing.assert_close(some, golden_rows, **TOLERANCE)
    ended = trace["rounds"][-1]["text_new_ids"][-1] == tokenizer.special.end_of_text
    # The row before the appended one is the last that was drawn: the end code, or the limit's.
    spoken = [part["frames"] for part in trace["rounds"] if part["frames"]]
    unsaid = any(frames[-2][0] != model.config.audio.codebook_sizes[0] for frames in spoken)
    assert last.reason == ("end" if ended and not unsaid else "limit")


@pytest.mark.parametrize("name", READINGS)
def test_reading_aloud(
    model: OmniForCausalLM, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    trace = TRACES[name]
    sampling = Sampling(
        1.0, 0, 1.0, trace["args"]["repetition_penalty"], trace["args"]["max_new_tokens"], True
    )
    recorder = Recorder(monkeypatch, model)
    loop = GenerationLoop(model, tokenizer)
    options = replace(READING, audio=sampling, keep_cut_token=False)
    pieces = [Prompt(ids) for ids in trace["piece_ids"]]
    for count in range(1, len(pieces) + 1):
        recorder.rounds.clear()
        turn = recorder.turn = loop.read_aloud(pieces[:count], options)
        *_, _last = turn
        frames = [frame for part in trace["frames"][:count] for frame in part[:-1]]
        assert [frame for part in recorder.rounds for frame in part.frames] == frames
        # The recorded sequences show the last pad before the end mark overwrites it.
        end, pad = tokenizer.special.audiogen_end, tokenizer.special.audio_pad
        assert turn.ids == (*trace["sequences"][count - 1][:-1], end)
        assert trace["sequences"][count - 1][-1] == pad


@pytest.mark.parametrize("name", BATCHES)
@torch.inference_mode()
def test_batch_of_texts(golden: GoldenSet, model: OmniForCausalLM, name: str) -> None:
    """Left-padded rows, greedily: the forward pass with a mask, not the loop."""
    trace = TRACES[name]
    ids, mask = torch.tensor(trace["input_ids"]), torch.tensor(trace["attention_mask"])
    penalty, most = trace["args"]["repetition_penalty"], trace["args"]["max_new_tokens"]
    sampling = Sampling(1.0, 0, 1.0, penalty, most, greedy=True)
    size = model.config.vocab_size
    seen = torch.cat([seen_ids(row, size, "cpu") for row in trace["input_ids"]])
    codes = batch_codes(golden, int((ids == model.config.audio.audio_pad_token_id).sum()))
    embeds, cache, made = model.embed(ids, codes), DynamicCache(), []
    for _ in range(most):
        positions = mask.cumsum(-1)[:, -embeds.shape[1] :]
        states = model.hidden(embeds, cache, attention_mask=mask, position_ids=positions)
        made.append(pick(model.lm_head(states[:, -1]), sampling, seen))
        mark_seen(seen, made[-1])
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        embeds = model.embed(made[-1][:, None])
    end = end_of_text(golden)
    for row, expected in zip(torch.stack(made, dim=1).tolist(), trace["new_ids"], strict=True):
        length = expected.index(end) + 1 if end in expected else len(expected)
        assert row[:length] == expected[:length]


def batch_codes(golden: GoldenSet, pads: int) -> Tensor | None:
    """The codes of the wave that is as long as the batch has pads."""
    if not pads:
        return None
    waves = golden.tensors("audio")
    fitting = [
        codes
        for key, codes in waves.items()
        if re.fullmatch(r"\w+\.codes", key) and "batch" not in key and len(codes) == pads
    ]
    assert len(fitting) == 1, f"{len(fitting)} waves with {pads} codes"
    return fitting[0]
