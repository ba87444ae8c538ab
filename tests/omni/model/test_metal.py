"""What can be known of Apple's GPUs without one: a whole turn asks for nothing that they lack."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image as Pictures

from benchmarks.speed.question import write_question
from benchmarks.speed.random_model import load_random
from benchmarks.speed.turns import Lengths, our_turn
from omni import assistant as assistant_module
from omni.assistant import Assistant
from omni.conversation import Audio, Conversation, Image, Message, Text
from omni.speech.overlap import JobsHere
from tests.support.metal_kernels import Operations, runs_on_metal

# What torch chooses on a CPU where it has another kernel for MPS
# (_scaled_dot_product_attention_math_for_mps).
OF_THE_CPU = {"_scaled_dot_product_flash_attention_for_cpu"}
# float64 is for the pitch and its phases, which are worked out on the CPU where the GPU is Apple's
# (F0Predictor.precise, SourceModule, matching); who has a part in that:
PITCH = {f"omni/model/vocoder/{name}.py" for name in ("source", "conv_stream", "stream")}


@pytest.fixture(scope="module", params=["bfloat16", "float16"])
def traced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Operations:
    """A turn with sound, picture and text that is answered in text and speech."""
    folder = tmp_path_factory.mktemp("media")
    Pictures.new("RGB", (80, 60), "red").save(folder / "picture.png")
    parts = (
        Audio(write_question(folder / "question.wav", 0.6)),
        Image(folder / "picture.png"),
        Text("What is it?"),
    )
    question = Conversation(messages=(Message("user", parts),))
    assistant = Assistant(load_random("nano", "cpu", request.param))
    # Metal's speech has the model's own dtype (omni.devices.choose_speech_dtype).
    dtype = getattr(torch, request.param)
    for part in assistant.loaded.model.audio_tokenizer.decoding_parts():
        part.to(dtype)
    options = Lengths(text_tokens=2, frames=14, segments=2).options()
    options = replace(options, audio=replace(options.audio, max_new=14))
    with pytest.MonkeyPatch.context() as patch, Operations() as operations:
        patch.setattr(assistant_module, "jobs_on", lambda device: JobsHere())
        our_turn(assistant, question, options)
    return operations


def test_every_operation_has_a_kernel(traced: Operations) -> None:
    assert len(traced.names) > 100
    missing = {name for name in traced.names if not runs_on_metal(name)}
    assert missing <= OF_THE_CPU


def test_float64_is_where_the_cpu_does_it(traced: Operations) -> None:
    assert set(traced.files) == {torch.float64}
    assert traced.files[torch.float64] == PITCH


def test_the_table_tells_what_is_missing() -> None:
    assert runs_on_metal("add.Tensor") and runs_on_metal("mm") and runs_on_metal("silu")
    assert not runs_on_metal("_linalg_eigvals") and not runs_on_metal("geqrf")
    with pytest.raises(KeyError):
        runs_on_metal("no_such_operation")
