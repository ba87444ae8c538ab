"""How the parts of the model work together, beyond the golden numbers."""

from __future__ import annotations

from collections.abc import Iterator

import accelerate
import pytest
import torch
from torch import Tensor
from transformers import Cache, DynamicCache, StaticCache

from omni.config import OmniConfig
from omni.model.layers.pretrained import UNSPLIT
from omni.model.omni import OmniForCausalLM
from tests.support.golden_model import assert_close, golden_model, pictures
from tests.support.golden_set import GoldenSet

LENGTH = 23


@pytest.fixture(autouse=True)
def no_gradients(request: pytest.FixtureRequest) -> Iterator[None]:
    """Inference, as in generation; the training tests say otherwise."""
    with torch.inference_mode("trains" not in request.node.name):
        yield


def plain_ids(model: OmniForCausalLM, length: int = LENGTH, batch: int = 1) -> Tensor:
    """Random ids of ordinary text."""
    generator = torch.Generator().manual_seed(7)
    parts = (model.config.audio_config, model.config.visual_config, model.config.video_config)
    special = min(id for part in parts for key, id in part.items() if key.endswith("_token_id"))
    return torch.randint(0, special, (batch, length), generator=generator)


def greedy(_: int, logits: Tensor) -> Tensor:
    return logits.argmax(-1)


def in_parts(model: OmniForCausalLM, embeds: Tensor, cache: Cache, cut: int) -> Tensor:
    """States of a prefill of ``cut`` positions, then of one at a time."""
    parts = [embeds[:, :cut], *embeds[:, cut:].split(1, dim=1)]
    return torch.cat([model.hidden(part, cache) for part in parts], dim=1)


@pytest.mark.parametrize("cut", [1, 9, LENGTH - 1])
@pytest.mark.parametrize("kind", ["dynamic", "static", "static with room"])
def test_every_cache_gives_the_states_of_a_full_pass(kind: str, cut: int) -> None:
    model = golden_model()
    embeds = model.embed(plain_ids(model))
    room = LENGTH + (40 if kind == "static with room" else 0)
    cache: Cache = (
        DynamicCache(config=model.config)
        if kind == "dynamic"
        else StaticCache(config=model.config, max_cache_len=room)
    )
    assert_close(in_parts(model, embeds, cache, cut), model.hidden(embeds))
    assert int(cache.get_seq_length()) == LENGTH


def test_the_sliding_window_of_the_configuration_is_not_used() -> None:
    """The published file names one, with use_sliding_window false: no cache may cut by it."""
    config = OmniConfig(sliding_window=4, num_hidden_layers=2)
    assert not any(layer.is_sliding for layer in DynamicCache(config=config).layers)
    assert not any(layer.is_sliding for layer in StaticCache(config, max_cache_len=9).layers)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_left_padding_changes_nothing_also_in_later_steps(implementation: str) -> None:
    model = golden_model()
    ids = plain_ids(model, batch=2)
    pads = 8
    mask = torch.ones(2, LENGTH + 2, dtype=torch.long)
    mask[0, :pads] = 0
    steps = [LENGTH, 1, 1]
    embeds = model.embed(torch.cat((ids, ids[:, :2]), dim=1))
    cache = DynamicCache(config=model.config)
    states, end = [], 0
    model.set_attn_implementation(implementation)
    try:
        for step in steps:
            start, end = end, end + step
            states.append(model.hidden(embeds[:, start:end], cache, attention_mask=mask[:, :end]))
        alone = [model.hidden(embeds[:1, pads:]), model.hidden(embeds[1:])]
    finally:
        model.set_attn_implementation("sdpa")
    together = torch.cat(states, dim=1)
    assert_close(together[:1, pads:], alone[0])
    assert_close(together[1:], alone[1])


def test_logits_are_computed_for_asked_rows_only() -> None:
    model = golden_model()
    ids = plain_ids(model)
    rows: list[int] = []
    hook = model.lm_head.register_forward_hook(lambda _, given, out: rows.append(given[0].shape[1]))
    full = model(input_ids=ids)
    last = model(input_ids=ids, logits_to_keep=1)
    some = model(input_ids=ids, logits_to_keep=torch.tensor([2, 5]))
    model.hidden(model.embed(ids))
    hook.remove()
    assert rows == [LENGTH, 1, 2]
    assert_close(last.logits, full.logits[:, -1:])
    assert_close(some.logits, full.logits[:, [2, 5]])
    assert full.past_key_values is None
    assert model(input_ids=ids, use_cache=True).past_key_values.get_seq_length() == LENGTH


def test_text_runs_neither_tower_nor_audio() -> None:
    """The published code passes dummy pictures and sounds through both at every step."""
    model = golden_model()
    ran: list[str] = []
    parts = (
        model.model.visual_model,
        model.model.visual_bridge_model,
        model.audio_tokenizer.audio_model,
        model.audio_tokenizer.audio_bridge_model,
        *model.model.audio_embed_layers,
    )
    hooks = [
        part.register_forward_pre_hook(lambda module, _: ran.append(type(module).__name__))
        for part in parts
    ]
    cache = DynamicCache(config=model.config)
    model(input_ids=plain_ids(model), past_key_values=cache)
    model(input_ids=plain_ids(model, 1), past_key_values=cache)
    for hook in hooks:
        hook.remove()
    assert ran == []


@pytest.mark.parametrize("kind", ["audio", "image", "video"])
@pytest.mark.parametrize("given", [None, 0, 2, 4])
def test_embed_refuses_wrong_counts(kind: str, given: int | None) -> None:
    model = golden_model()
    config = model.config
    pad = {
        "audio": config.audio.audio_pad_token_id,
        "image": config.visual.image_pad_token_id,
        "video": config.video.video_place_token_id,
    }[kind]
    ids = plain_ids(model)
    ids[0, 4:7] = pad
    rows = None
    if given is not None:
        rows = torch.randn(given, config.hidden_size)
        if kind == "audio":
            rows = torch.zeros(given, config.audio.num_codebooks, dtype=torch.long)
    name = {"audio": "audio_codes", "image": "image_rows", "video": "video_rows"}[kind]
    with pytest.raises(ValueError, match=f"3 {kind} pads in the prompt, {given or 0} {kind} rows"):
        model.embed(ids, **{name: rows})


def test_embed_puts_media_in_order_of_appearance() -> None:
    model = golden_model()
    config = model.config
    audio, image = config.audio, config.visual
    ids = plain_ids(model, batch=2)
    ids[0, [3, 5]] = audio.audio_pad_token_id
    ids[1, 2] = audio.audio_pad_token_id
    ids[1, 9] = image.image_pad_token_id
    codes = torch.tensor([[n % size for size in audio.codebook_sizes] for n in range(3)])
    row = torch.randn(1, config.hidden_size)
    embeds = model.embed(ids, audio_codes=codes.int(), image_rows=row)
    sums = [
        sum(table.weight[codes[n, i]] for i, table in enumerate(model.model.audio_embed_layers))
        for n in range(3)
    ]
    assert_close(torch.stack((embeds[0, 3], embeds[0, 5], embeds[1, 2])), torch.stack(sums), 1e-6)
    assert torch.equal(embeds[1, 9], row[0])
    assert torch.equal(embeds[0, 0], model.model.embed_tokens.weight[ids[0, 0]])


@pytest.mark.parametrize("frames", [1, 5])
def test_incremental_audio_head_equals_the_full_pass(frames: int) -> None:
    head = golden_model().audio_head
    hidden = torch.randn(frames, golden_model().config.hidden_size)
    seen: list[Tensor] = []
    codes = head.generate(hidden, lambda j, logits: (seen.append(logits), greedy(j, logits))[1])
    assert codes.dtype == torch.int64
    full = head(hidden, codes)
    full = [full[0], *(logits[:, :-1] for logits in full[1:])]
    for incremental, whole in zip(seen, full, strict=True):
        assert_close(incremental, whole)
    assert torch.equal(codes, torch.stack([logits.argmax(-1) for logits in full], dim=1))


@pytest.mark.parametrize("frames", [1, 5])
def test_incremental_audio_head_is_as_exact_as_the_full_pass_in_bf16(frames: int) -> None:
    """Its distance from float32 is that of bf16 itself: under twice the full pass's."""
    narrow, wide = golden_model(torch.bfloat16).audio_head, golden_model().audio_head
    hidden = torch.randn(frames, golden_model().config.hidden_size).bfloat16()
    seen: list[Tensor] = []
    codes = narrow.generate(hidden, lambda j, logits: (seen.append(logits), greedy(j, logits))[1])
    exact, full = wide(hidden.float(), codes), narrow(hidden, codes)
    assert all(logits.dtype == torch.bfloat16 for logits in seen)
    error = full_error = 0.0
    for have, whole, want in zip(seen, full, exact, strict=True):
        classes = have.shape[1]
        error += float((have.float() - want[:, :classes]).square().sum())
        full_error += float((whole.float() - want)[:, :classes].square().sum())
    assert error**0.5 < 2 * full_error**0.5


def test_a_step_of_the_audio_head_reads_its_own_weights_only() -> None:
    """Other positions' feed-forward weights may be anything, even not a number."""
    model = golden_model()
    head = OmniForCausalLM.from_pretrained(model.name_or_path, dtype=torch.float32).audio_head
    hidden = torch.randn(1, model.config.hidden_size)
    position = len(head.heads) - 1
    want = head.step(hidden, 0, head.new_cache(hidden))
    for layer in head.transformer_layers:
        for linear in (layer.linear1, layer.linear2):
            own = linear.weight.shape[1] // linear.positions
            linear.weight[:, own:] = torch.nan
            linear.bias.fill_(torch.nan)
    assert torch.equal(head.step(hidden, 0, head.new_cache(hidden)), want)
    assert head.step(hidden, position, head.new_cache(hidden)).isnan().all()


def test_the_code_tables_belong_to_the_language_model_alone() -> None:
    model = golden_model()
    assert not [name for name, _ in model.audio_head.named_parameters() if "embed" in name]
    assert model.audio_head._tables[0] is model.model.audio_embed_layers


def test_one_device_holds_what_must_not_be_split() -> None:
    """The automatic placement over small devices, at the published size."""
    with torch.device("meta"):
        model = OmniForCausalLM(OmniConfig()).bfloat16()
    names = {type(module).__name__ for module in model.modules()}
    assert set(UNSPLIT) <= names
    memory = {0: "7GB", 1: "7GB", 2: "7GB", "cpu": "40GB"}
    places = accelerate.infer_auto_device_map(
        model, max_memory=memory, no_split_module_classes=list(model._no_split_modules)
    )
    assert len(set(places.values())) > 2
    for name, module in model.named_modules():
        if type(module).__name__ in UNSPLIT:
            inside = [place for place in places if place.startswith(f"{name}.")]
            assert not inside, f"{name} is split"


def test_weights_may_stay_elsewhere_until_they_are_used(golden: GoldenSet) -> None:
    """Offloaded by accelerate: every weight is on meta but for its module's own forward call."""
    model = golden_model()
    away = OmniForCausalLM.from_pretrained(golden.checkpoint, dtype=torch.float32)
    for part in (away.model, away.lm_head, away.audio_head):
        accelerate.cpu_offload(part, execution_device=torch.device("cpu"))
    assert next(away.audio_head.parameters()).is_meta and away.lm_head.weight.is_meta
    images = next(iter(pictures(golden).values()))
    rows = model.encode_images(images)
    assert_close(away.encode_images(images), rows)
    ids = plain_ids(model, LENGTH + len(rows))
    ids[0, 5 : 5 + len(rows)] = model.config.visual.image_pad_token_id
    want = model(input_ids=ids, image_rows=rows, logits_to_keep=1)
    have = away(input_ids=ids, image_rows=rows, logits_to_keep=1)
    assert_close(have.logits, want.logits)
    hidden = want.last_hidden_state[0, -2:]
    codes = model.audio_head.generate(hidden, greedy)
    assert torch.equal(away.audio_head.generate(hidden, greedy), codes)


def test_fresh_weights_are_filled_in(golden: GoldenSet) -> None:
    """A model that is built to be trained has no uninitialized memory in it."""
    config = OmniConfig.from_pretrained(golden.checkpoint)
    model = OmniForCausalLM(config)
    for name, tensor in model.state_dict().items():
        assert torch.isfinite(tensor).all(), name
        assert tensor.abs().max() < 50, name
    head = model.audio_head.transformer_layers[0]
    for weight in (head.linear1.weight, head.linear2.weight, head.self_attention.in_proj_weight):
        assert 0.5 < float(weight.std()) / config.initializer_range < 2
    assert not head.linear1.bias.any() and torch.equal(
        head.layernorm1.weight, torch.ones_like(head.layernorm1.weight)
    )


def test_it_trains_after_it_has_answered(golden: GoldenSet) -> None:
    """Nothing that inference left behind stops a backward pass; every used weight gets one."""
    model = OmniForCausalLM.from_pretrained(golden.checkpoint, dtype=torch.float32)
    ids = plain_ids(model)
    ids[0, 4:9] = model.config.audio.audio_pad_token_id
    codes = torch.zeros(5, model.config.audio.num_codebooks, dtype=torch.long)
    with torch.inference_mode():
        model(input_ids=ids, audio_codes=codes)
    output = model(input_ids=ids, audio_codes=codes)
    audio = model.audio_head(output.last_hidden_state[0, 3:8], codes)
    loss = output.logits.square().mean() + sum(logits.square().mean() for logits in audio)
    loss.backward()
    for part in (model.model.layers, model.model.audio_embed_layers, model.audio_head):
        for name, parameter in part.named_parameters():
            unused = "linear" in name and name.endswith("bias")  # as in the published model
            assert (parameter.grad is None) == unused, name
