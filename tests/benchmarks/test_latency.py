"""The benchmark counts right, compares like with like, and leaves the model as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import latency, report, timeline
from benchmarks.lib.bounds import BOUNDS, bounds_for
from benchmarks.lib.rows import Bound, Row, read_json, rows_markdown, table, write_json
from benchmarks.speed import turns, wave
from benchmarks.speed.ceilings import bytes_read, ceiling_rows, flow_operations, weight_bytes
from benchmarks.speed.naive import NaiveTurn, published_products
from benchmarks.speed.question import spoken, write_question
from benchmarks.speed.random_model import CONFIGS, load_random, read_config
from benchmarks.speed.spans import KINDS, METHODS, Recorder
from benchmarks.speed.turns import Lengths, TurnTimes
from omni.assistant import Assistant
from omni.generation.decoding import Timings
from omni.loading.load import LoadedModel
from omni.model.audio_head import PositionWise
from omni.options import Sampling

GREEDY = Sampling(1.0, 0, 1.0, 1.0, 3, greedy=True)
SHORT = Lengths(text_tokens=3, frames=7, segments=2)
FLAGS = (
    "--config nano --random-weights --device cpu --dtype float32 --naive --question 1 "
    "--text-tokens 2 --frames 7 --segments 1 --speed-tokens 3 --speed-frames 4 --wave 0.5 "
    "--only machine,load,text,audio,wave,turn,memory"
)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_random("nano", "cpu", "float32")


@pytest.fixture(scope="module")
def assistant(loaded: LoadedModel) -> Assistant:
    return Assistant(loaded)


@pytest.fixture
def question(tmp_path: Path):
    return spoken(write_question(tmp_path / "question.wav", 1.0))


def test_bounds_and_verdicts() -> None:
    assert Row("a", 3.0, Bound(2)).ok is True
    assert Row("a", 3.0, Bound(2, at_most=True)).ok is False
    assert Row("a", 3.0).ok is None and Row("a", None, Bound(2)).ok is None
    assert bounds_for("mid", "cpu", "float32", "none")["audio_frames_per_s"].value == 13
    assert bounds_for("mid", "cpu", "bfloat16", "none")["audio_frames_per_s"].value == 20
    assert bounds_for("full", "cuda:0", "bfloat16", "4bit")["peak_memory_gb"].value == 9.5
    # Speed is asked of unquantized weights, and of the device that the bound was set for.
    assert "audio_frames_per_s" not in bounds_for("full", "cuda:0", "bfloat16", "4bit")
    assert "audio_frames_per_s" not in bounds_for("mid", "cuda:0", "float32", "none")
    for bounds in BOUNDS.values():
        assert all(bound.value > 0 or bound.at_most for bound in bounds.values())


def test_rows_survive_json_and_show(tmp_path: Path) -> None:
    rows = [Row("speed", 12.345, Bound(13), "a note"), Row("other", None), Row("name", "text")]
    write_json(tmp_path / "r.json", rows, command="python", machine={})
    again, about = read_json(tmp_path / "r.json")
    assert again == rows and about["command"] == "python" and about["date"]
    content = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    first = content["rows"][0]
    assert (first["name"], first["value"], first["bound"], first["ok"]) == (
        "speed",
        12.345,
        13,
        False,
    )
    assert "12.3" in table(rows) and "no" in table(rows)
    assert rows_markdown(rows).splitlines()[2] == "| speed | 12.3 | >= 13 | no | a note |"


def test_the_configurations_are_what_they_are_called() -> None:
    for path in CONFIGS.glob("*.json"):
        config, _ = read_config(path.stem)
        assert config.vocab_size == 152_064
    config, vocoder = read_config("mid")
    published, _ = read_config("full")
    assert (config.hidden_size, config.num_hidden_layers, config.intermediate_size) == (
        1024,
        8,
        4096,
    )
    assert config.audio == published.audio and config.flow == published.flow
    assert vocoder.base_channels == 512


def test_turns_have_the_lengths_asked_for(
    loaded: LoadedModel, assistant: Assistant, question
) -> None:
    times = turns.our_turn(assistant, question, SHORT.options())
    assert times.stats.text_tokens == 2 * 3 and times.stats.audio_frames == 2 * 7
    assert 0 < times.first_text_s < times.first_sound_s <= times.total_s  # type: ignore[operator]
    naive = turns.naive_turn(loaded, question, SHORT.options())
    assert 0 < naive.first_text_s < naive.first_sound_s <= naive.total_s  # type: ignore[operator]
    # Two segments of 7 codes, 4 x 7 - 1 frames of 20 ms each; joins add or take some ms.
    for seconds in (times.speech_s, naive.speech_s):
        assert seconds == pytest.approx(2 * 27 * 0.02, abs=0.03)


def test_the_published_way_holds_the_first_segment_back(loaded: LoadedModel, question) -> None:
    kinds = [kind for kind, _ in NaiveTurn(loaded).run(question, SHORT.options())]
    assert kinds == ["text"] * 6 + ["sound"]
    one = Lengths(3, 7, 1).options()
    assert [kind for kind, _ in NaiveTurn(loaded).run(question, one)] == ["text"] * 3 + ["sound"]


def test_both_ways_compute_the_same_frame(loaded: LoadedModel) -> None:
    hidden = torch.randn(1, loaded.config.hidden_size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        ours = loaded.model.audio_head.generate(hidden, lambda index, scores: scores.argmax(-1))
    assert torch.equal(NaiveTurn(loaded).frame(hidden, GREEDY, []), ours)


def test_the_published_product_is_ours_and_is_taken_back() -> None:
    layer = PositionWise(3, 4, 5)
    torch.nn.init.normal_(layer.weight)
    x, before = torch.randn(2, 3, 4), PositionWise.forward
    want = layer(x)
    with published_products():
        assert PositionWise.forward is not before
        assert torch.allclose(layer(x), want, atol=1e-5)
    assert PositionWise.forward is before


def test_the_published_way_runs_what_ours_spares(
    loaded: LoadedModel, assistant: Assistant, question
) -> None:
    calls = dict.fromkeys(("vision", "head", "scores"), 0)

    def counting(name: str):
        def count(*_: object) -> None:
            calls[name] += 1

        return count

    model = loaded.model
    hooks = [
        module.register_forward_hook(counting(name))
        for name, module in (
            ("vision", model.model.visual_model),
            ("head", model.audio_head),
            ("scores", model.lm_head),
        )
    ]
    options = Lengths(2, 3, 1).options()
    turns.our_turn(assistant, question, options)
    assert calls == {"vision": 0, "head": 0, "scores": 2}
    turns.naive_turn(loaded, question, options)
    codebooks = loaded.config.audio.num_codebooks
    assert calls == {"vision": 2 + 3, "head": 3 * codebooks, "scores": 2 + 2 + 3}
    for hook in hooks:
        hook.remove()


def test_what_a_step_reads_and_the_flow_computes(loaded: LoadedModel) -> None:
    model, width = loaded.model, loaded.config.hidden_size
    read = bytes_read(loaded)
    text = weight_bytes(model.model.layers) + 4 * width * loaded.config.vocab_size
    assert read["text_tokens_per_s"] == text
    full_passes = weight_bytes(model.model.layers) + 8 * weight_bytes(model.audio_head)
    assert text < read["audio_frames_per_s"] + 4 * width * loaded.config.vocab_size
    assert read["audio_frames_per_s"] < full_passes
    one, two = flow_operations(loaded, 1.0), flow_operations(loaded, 2.0)
    weights = sum(p.numel() for p in model.audio_tokenizer.audio_flow_matching_decoder.parameters())
    assert 0 < one < 2 * 2 * 50 * 10 * weights * 2  # a product and a sum for each weight and frame
    assert two > 1.9 * one
    rows = {row.name: row.value for row in ceiling_rows(loaded, 1.0)}
    assert rows["machine.most_text_tokens_per_s"] > 0  # type: ignore[operator]
    assert rows["machine.least_wave_1s_s"] > 0  # type: ignore[operator]


def test_stalls_are_what_a_player_waits() -> None:
    times = TurnTimes()
    times.heard(1.0, 0.5)  # plays from 1.0 to 1.5
    times.heard(1.2, 0.5)  # to 2.0
    assert times.stall_s == 0
    times.heard(2.25, 0.5)  # a quarter second late: to 2.75
    times.heard(2.5, 0.5)
    assert times.first_sound_s == 1.0 and times.speech_s == 2.0
    assert times.stall_s == pytest.approx(0.25)


def test_the_recorder_notes_every_kind_and_leaves_no_trace(
    loaded: LoadedModel, assistant: Assistant, question
) -> None:
    methods = [pair for pairs in METHODS.values() for pair in pairs] + [(Timings, "measure")]
    before = [getattr(owner, name) for owner, name in methods]
    with Recorder() as recorder:
        times = turns.our_turn(assistant, question, SHORT.options())
    assert [getattr(owner, name) for owner, name in methods] == before
    busy = recorder.busy()
    assert all(busy[kind] > 0 for kind in KINDS)
    early = recorder.busy(times.first_sound_s)
    assert 0 < sum(early.values()) < sum(busy.values())
    assert recorder.busy(0.0) == dict.fromkeys(KINDS, 0.0)


def test_decoding_in_another_dtype_is_undone(loaded: LoadedModel) -> None:
    tokenizer = loaded.model.audio_tokenizer
    before = {name: tensor.clone() for name, tensor in tokenizer.state_dict().items()}
    own = loaded.model.config.flow.diffusion_steps
    fewer = own // 2
    times = wave.wave_times(loaded, 0.5, (torch.float32, torch.bfloat16), steps=(fewer,))
    assert [(t.dtype, t.steps) for t in times] == [
        ("float32", own),
        ("bfloat16", own),
        ("float32", fewer),
    ]
    assert times[0].error == 0 and 0 < times[1].error < wave.ERROR_ALLOWED < times[2].error
    assert wave.best(times) in times[:2]
    for name, tensor in tokenizer.state_dict().items():
        assert tensor.is_meta or torch.equal(tensor, before[name])


def test_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "rows.json"
    code = latency.main([*FLAGS.split(), "--json", str(file)])
    rows, about = read_json(file)
    assert code == (1 if any(row.ok is False for row in rows) else 0)
    found = {row.name: row.value for row in rows}
    for name in ("first_text_s", "first_sound_s", "text_tokens_per_s", "audio_frames_per_s"):
        assert found[name] > 0 and found[f"naive.{name}"] > 0  # type: ignore[operator]
    split = sum(found[f"first_sound.{kind}_s"] for kind in KINDS)  # type: ignore[misc]
    assert split > 0
    for name in ("real_time_factor", "load_s", "peak_memory_gb", "wave_0.5s_s"):
        assert found[name] > 0  # type: ignore[operator]
    share = found["first_sound_s"] / found["naive.first_sound_s"]  # type: ignore[operator]
    assert found["first_sound_over_naive"] == pytest.approx(share)
    printed = capsys.readouterr().out
    assert all(name in printed for name in found)
    assert about["machine"]["cpu"] in printed

    document = tmp_path / "doc.md"
    document.write_text("a\n<!-- begin nano -->\nold\n<!-- end nano -->\nz\n", encoding="utf-8")
    file.rename(tmp_path / "nano.json")
    arguments = ["--only", "nano", "--results", str(tmp_path), "--from-results"]
    report.main([*arguments, "--document", str(document)])
    text = document.read_text(encoding="utf-8")
    assert "first_sound_s" in text and "old" not in text
    assert text.startswith("a\n") and text.endswith("\nz\n")


def test_flags_that_contradict_each_other() -> None:
    for flags in ("--config mid", "--random-weights", "--only nonsense"):
        with pytest.raises(SystemExit):
            latency.main(flags.split())


def test_the_document_has_a_place_for_every_table() -> None:
    document = report.DOCUMENT.read_text(encoding="utf-8")
    for job in report.JOBS:
        assert "rows" in report.replaced(document, job.name, "rows")
    with pytest.raises(ValueError, match="no place"):
        report.replaced(document, "nonsense", "")


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_timeline(
    loaded: LoadedModel, assistant: Assistant, question, tmp_path: Path, ending: str
) -> None:
    pytest.importorskip("matplotlib")
    options = Lengths(2, 7, 1).options()
    lines = [
        timeline.record("ours", turns.our_turn, assistant, question, options),
        timeline.record("naive", turns.naive_turn, loaded, question, options),
    ]
    assert {span.kind for span in lines[1].spans} >= {"encode", "text", "audio", "flow", "vocoder"}
    path = tmp_path / f"t.{ending}"
    timeline.draw(lines, path)
    assert path.stat().st_size > 5000
