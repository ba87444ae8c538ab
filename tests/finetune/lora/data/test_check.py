"""``python -m finetune check``: all that a data file holds, and all that is wrong with it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from PIL import Image as Pillow

from finetune.lora.data import commands
from finetune.lora.data.check import Checked, check
from finetune.lora.data.report import at, report, seconds
from finetune.lora.data.rows import read_rows
from finetune.nano.base.checkpoint import nano_config, nano_tokenizer
from tests.support.media_files import tone, write_sound


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sound(tmp_path / "two.wav", tone(2.0))
    write_sound(tmp_path / "long.wav", tone(45.0))
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing of the kind")
    Pillow.effect_noise((64, 64), 60).convert("RGB").save(tmp_path / "a.png")
    return tmp_path


def talk(asked: str, said: str, **lists: list[str]) -> dict[str, object]:
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return {"messages": messages, **lists}


def write(folder: Path, *rows: object) -> Path:
    path = folder / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def checked(folder: Path, *rows: object, most: int = 2048) -> Checked:
    path = write(folder, *rows)
    return check(read_rows(path, folder / "inline"), nano_tokenizer(), nano_config(), most)


def test_what_rows_hold_is_counted(folder: Path) -> None:
    found = checked(
        folder,
        talk("<image><audio>What?", "Red. <audio>", images=["a.png"], audios=["two.wav"] * 2),
        talk("Hi", "Yes."),
    )
    first, second = found.sizes
    assert (first.said, first.heard, first.pictures) == (25, 25, 1)
    tokenizer = nano_tokenizer()
    assert first.learnt == len(tokenizer.encode("Red.")) + 2  # the mark of speech, the end
    assert second.learnt == len(tokenizer.encode("Yes.")) + 1
    assert first.tokens > first.said + first.heard + first.picture_patches / 4
    lines = "\n".join(report(found, 2048))
    assert "2 rows; 2 can be learnt from, 0 cannot" in lines
    assert "2.0 s of speech" in lines and "2.0 s of sound, 1 picture, 0 frames" in lines


def test_broken_and_missing_files_are_told_by_line(folder: Path) -> None:
    found = checked(
        folder,
        talk("<audio>", "x", audios=["broken.wav"]),
        talk("Hi", "Yes."),
        talk("<image>", "x", images=["gone.png"]),
    )
    assert [row.line for row in found.bad] == [1, 3]
    lines = list(report(found, 2048))
    assert "data.jsonl:1: broken.wav" in lines[-2] and "gone.png was not found" in lines[-1]


def test_what_is_cut_too_long_or_there_twice_is_told(folder: Path) -> None:
    long = talk("one two three " * 10, "Yes.")
    long["messages"] = [*long["messages"], *talk("And now?", "No.")["messages"]]  # type: ignore[misc]
    words = talk("word " * 300, "Yes.")
    found = checked(folder, long, words, talk("Hi", "No."), talk("Hi", "No."), most=50)
    assert found.cut == {"data.jsonl:1": 2}
    assert found.twice == {"data.jsonl:4": "data.jsonl:3"}
    assert [row.line for row in found.bad] == [2] and "50 are read" in found.bad[0].reason
    lines = "\n".join(report(found, 50))
    assert "data.jsonl:1: without its first 2 messages" in lines
    assert "data.jsonl:4 is data.jsonl:3" in lines


def test_media_that_differ_are_not_the_same_row(folder: Path) -> None:
    one = talk("<audio>", "x", audios=["two.wav"])
    found = checked(folder, one, talk("<audio>", "x", audios=["long.wav"]), one)
    assert found.twice == {"data.jsonl:3": "data.jsonl:1"}


def test_what_the_model_would_say_otherwise_is_noted(folder: Path) -> None:
    voice = talk("Hi", "Yes.", audios=["two.wav"])
    voice["messages"] = [{"role": "system", "content": "<audio>"}, *voice["messages"]]  # type: ignore[misc]
    found = checked(
        folder,
        talk("Hi", "Yes. <audio>", audios=["long.wav"]),
        talk("Hi", "one two three " * 30 + "<audio>", audios=["two.wav"]),
        voice,
    )
    rows = {note.rows for note in found.notes}
    assert rows == {("data.jsonl:1",), ("data.jsonl:2",), ("data.jsonl:3",)}
    lines = "\n".join(report(found, 2048))
    assert "longer than 40 s" in lines and "more than 50 tokens" in lines
    assert "voice prompt is left out" in lines


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    parser = argparse.ArgumentParser()
    commands.add_check(parser)
    return commands.run_check(parser.parse_args([*arguments, "--model", "nano", "--device", "cpu"]))


def test_the_exit_code_tells_of_bad_rows(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write(folder, talk("Hi", "Yes."), talk("Hi", "No.", tools="[]") | {"tools": "[]"})  # type: ignore[arg-type]
    assert run([str(good)], monkeypatch) == 0
    out = capsys.readouterr().out
    assert 'Not read: "tools", in 1 row.' in out
    assert "LoRA r16" in out and "needs about" in out
    bad = write(folder, talk("Hi", "Yes."), {"x": 1})
    assert run([str(bad)], monkeypatch) == 1
    assert run([str(folder / "gone.jsonl")], monkeypatch) == 2
    assert "gone.jsonl was not found" in capsys.readouterr().err


def test_the_plan_command(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    commands.add_plan(parser)
    flags = ["--model", "baichuan-inc/Baichuan-Omni-1d5", "--device", "cpu"]
    assert commands.run_plan(parser.parse_args([*flags, "--quantization", "4bit"])) == 0
    out = capsys.readouterr().out
    assert out.startswith("QLoRA r16, 2,048 tokens: needs about ") and "cpu has" in out
    assert commands.run_plan(parser.parse_args(["--table"])) == 0
    assert capsys.readouterr().out.count("| 24 GB |") == 4


@pytest.mark.parametrize(("share", "value"), [(0.5, 2), (0.95, 4), (0.0, 1), (1.0, 4)])
def test_a_share_of_the_rows(share: float, value: int) -> None:
    assert at([1, 2, 3, 4], share) == value


@pytest.mark.parametrize(
    ("frames", "said"), [(5, "0.4 s"), (750, "1 min 0 s"), (90_000, "2 h 0 min")]
)
def test_durations(frames: int, said: str) -> None:
    assert seconds(frames) == said
