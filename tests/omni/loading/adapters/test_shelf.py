"""Adapters beside a loaded model: what peft computes, and without them the base bit for bit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from omni.conversation import Conversation, Message, Text
from omni.engine import Engine
from omni.errors import CheckpointError
from omni.events import Progress, TextDelta, TurnEnd
from omni.loading.adapters.shelf import Shelf, bytes_of, shapes_of
from omni.loading.load import LoadedModel, load
from omni.model.omni import OmniForCausalLM
from omni.settings import EngineSettings, QuantizationChoice, with_adapter
from tests.support.adapters import pairs, write_adapter

LANGUAGE = r"model\.layers\.\d+\.(self_attn\.(W_pack|o_proj)|mlp\.(gate_proj|up_proj|down_proj))"
HEAD = r"audio_head\.(transformer_layers\.\d+\.self_attention\.out_proj|heads\.\d+)"
VIEWED = re.compile(
    r"audio_head\.transformer_layers\.\d+\.(self_attention\.in_proj_weight|linear[12]\.weight)"
)
CLOSE = 1e-4  # of values of about 10


def done(work: Iterator[Progress]) -> None:
    for _ in work:
        pass


def loaded_nano(quantization: QuantizationChoice = "none") -> LoadedModel:
    loading = load(EngineSettings("nano", quantization, "cpu"))
    while True:
        try:
            next(loading)
        except StopIteration as end:
            value: LoadedModel = end.value
            return value


@pytest.fixture(scope="module")
def model() -> OmniForCausalLM:
    return loaded_nano().model


@torch.inference_mode()
def outputs(model: OmniForCausalLM) -> dict[str, Tensor]:
    """What every kind of adapted weight has a part in."""
    generator = torch.Generator().manual_seed(3)
    width = model.config.hidden_size
    hidden = torch.randn(5, width, generator=generator)
    codes = torch.randint(0, 100, (5, model.config.audio.num_codebooks), generator=generator)
    seen = torch.randn(16, model.config.visual.embed_dim, generator=generator)
    heads = model.audio_head(hidden, codes)
    stepped = model.audio_head.generate(hidden, lambda book, scores: scores.argmax(-1))
    return {
        "text": model(input_ids=torch.arange(20, 50)[None]).logits,
        "frames": torch.cat(heads, dim=1),
        "steps": stepped.float(),
        "pictures": model.model.visual_bridge_model(seen),
    }


@pytest.fixture(scope="module")
def with_peft(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Tensor]]:
    """An adapter that peft has written, of everything that can have one, and what peft makes."""
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("peft")
    torch.manual_seed(1)
    model = loaded_nano().model
    names = [name for name, _ in model.named_parameters() if VIEWED.fullmatch(name)]
    config = LoraConfig(
        r=4,
        lora_alpha=16,
        target_modules=f"{LANGUAGE}|{HEAD}",
        target_parameters=names,
        modules_to_save=["visual_bridge_model"],
        init_lora_weights=False,
    )
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "modules_to_save" in name:
                weight.add_(0.1 * torch.randn_like(weight))
    adapted.save_pretrained(str(folder), save_embedding_layers=False)
    return folder, outputs(adapted.eval().base_model.model)


@pytest.mark.parametrize("packed", [False, True], ids=["as published", "packed for the CPU"])
def test_an_adapter_of_peft_gives_what_peft_computes(
    model: OmniForCausalLM, with_peft: tuple[Path, dict[str, Tensor]], packed: bool
) -> None:
    folder, expected = with_peft
    if packed:
        model.audio_head.pack()
    before = outputs(model)
    shelf = Shelf(model)
    done(shelf.hold([str(folder)]))
    assert torch.equal(outputs(model)["text"], before["text"]), "it is there, and not at work"
    assert shelf.use(str(folder)) and not shelf.use(str(folder))
    found = outputs(model)
    for name, values in expected.items():
        assert (found[name] - values).abs().max() < CLOSE, name
        assert (found[name] - before[name]).abs().max() > 1, f"{name} is not adapted"
    shelf.use("")
    after = outputs(model)
    model.audio_head.unpack()
    assert all(torch.equal(after[name], before[name]) for name in before), "the base, bit for bit"


def test_several_are_switched_and_those_that_go_are_gone(
    model: OmniForCausalLM, tmp_path: Path
) -> None:
    one, two = (
        str(write_adapter(tmp_path / name, pairs(model, seed=seed)))
        for seed, name in enumerate(("one", "two"))
    )
    base = outputs(model)["text"]
    shelf = Shelf(model)
    done(shelf.hold([one, two, one]))
    assert shelf.names == (one, two)
    said = {}
    for name in (one, two, one):
        shelf.use(name)
        text = outputs(model)["text"]
        assert torch.equal(said.setdefault(name, text), text)
    assert not torch.equal(said[one], said[two])
    done(shelf.hold([two]))
    assert shelf.used == "" and torch.equal(outputs(model)["text"], base)
    with pytest.raises(CheckpointError, match="choose one of those that are loaded"):
        shelf.use(one)


def test_one_that_cannot_be_held_changes_nothing(model: OmniForCausalLM, tmp_path: Path) -> None:
    good = str(write_adapter(tmp_path / "good", pairs(model)))
    shelf = Shelf(model)
    done(shelf.hold([good]))
    shelf.use(good)
    before = outputs(model)["text"]
    with pytest.raises(CheckpointError):
        done(shelf.hold([str(tmp_path / "gone"), good]))
    assert (shelf.names, shelf.used) == ((good,), good)
    assert torch.equal(outputs(model)["text"], before)
    shelf.use("")


def test_values_that_are_no_numbers_are_told(model: OmniForCausalLM, tmp_path: Path) -> None:
    tensors = pairs(model)
    next(iter(tensors.values()))[0, 0] = float("nan")
    folder = write_adapter(tmp_path, tensors)
    with pytest.raises(CheckpointError, match="no numbers"):
        done(Shelf(model).hold([str(folder)]))


def test_the_memory_of_adapters_is_counted(model: OmniForCausalLM, tmp_path: Path) -> None:
    tensors = pairs(model)
    folder = write_adapter(tmp_path, tensors)
    values = sum(tensor.numel() for tensor in tensors.values())
    assert bytes_of({"it": folder}, model.config) == 4 * values
    assert bytes_of({}, model.config) == 0
    assert shapes_of(model.config)["lm_head.weight"] == tuple(model.lm_head.weight.shape)


def answer(
    engine: Engine, adapter: str | None = None, session: str | None = None
) -> tuple[str, int]:
    """The text, and how many positions were known from the turn before."""
    question = Conversation(messages=(Message("user", (Text("What is red?"),)),))
    events = list(
        engine.turn(
            question,
            lambda own: replace(own, speech=False, text_only=replace(own.text_only, max_new=12)),
            session=session,
            adapter=adapter,
        )
    )
    end = events[-1]
    assert isinstance(end, TurnEnd)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return text, end.stats.cached_tokens


@pytest.mark.parametrize("quantization", ["none", "8bit", "4bit"])
def test_an_engine_switches_without_loading_the_base_again(
    model: OmniForCausalLM, tmp_path: Path, quantization: QuantizationChoice
) -> None:
    if quantization != "none":
        pytest.importorskip("bitsandbytes")
    folder = str(write_adapter(tmp_path / "one", pairs(model)))
    engine = Engine(EngineSettings("nano", quantization, "cpu"))
    base = answer(engine, session="mine")
    report = engine.report
    assert answer(engine, session="mine")[1] > 0, "the second turn knows the first one's context"
    list(engine.load(with_adapter(engine.settings, folder)))
    other = answer(engine, session="mine")
    assert other[1] == 0, "a context belongs to the adapter that has computed it"
    assert other[0] != base[0]
    assert answer(engine, session="mine") == (other[0], answer(engine, session="mine")[1])
    assert answer(engine, adapter="") == base, "a request has the last word"
    list(engine.load(with_adapter(engine.settings, "none")))
    assert answer(engine) == base and answer(engine, adapter=folder)[0] == other[0]
    assert engine.report is report, "loaded once"


def test_an_engine_begins_with_its_adapters_or_says_why_not(
    model: OmniForCausalLM, tmp_path: Path
) -> None:
    folder = str(write_adapter(tmp_path / "one", pairs(model)))
    settings = EngineSettings("nano", device="cpu", adapters=(folder,), adapter=folder)
    engine = Engine(settings)
    assert answer(engine)[0] != answer(engine, adapter="")[0]
    broken = tmp_path / "one" / "adapter_model.safetensors"
    broken.write_bytes(broken.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="broken"):
        list(Engine(settings).load())
