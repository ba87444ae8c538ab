"""benchmarks.gpu on the CPU: every part is measured, none takes the others with it."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as program
from benchmarks.gpu.held_to_tests import marked_files, report_rows
from benchmarks.gpu.lines import DONE, FAILED, LATE, LEFT_OUT, Results
from benchmarks.gpu.parts import What, part_rows, plan_bytes
from benchmarks.gpu.schedule import NAMES, PARTS, Part, run_parts, run_process
from benchmarks.lib.rows import Row
from benchmarks.speed.random_model import load_random

TINY = What("cpu", "nano", (), quick=True)
SPEEDS = {"text_tokens_per_s", "audio_frames_per_s", "first_text_s", "first_sound_s"}


def rows(part: str) -> dict[str, Row]:
    return {row.name: row for row in part_rows(part, TINY)}


@pytest.mark.parametrize("part", ["bf16", "4bit", "8bit", "nano"])
def test_a_model_is_measured_beside_its_plan(part: str) -> None:
    if part in ("4bit", "8bit"):
        pytest.importorskip("bitsandbytes")
    found = rows(part)
    wanted = {"load_s", "peak_memory_gb", "real_time_factor", "first_sound.flow_s", *SPEEDS}
    assert wanted <= set(found)
    assert part == "nano" or found["plan_gb"].value
    assert part not in ("4bit", "8bit") or str(found["dtype"].note).startswith(part)


@pytest.mark.parametrize("part", ["4bit", "8bit"])
def test_without_bitsandbytes_it_says_so(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name)
    )
    found = rows(part)
    assert list(found) == ["load_s"] and found["load_s"].value is None
    assert "not installed" in found["load_s"].note


def test_captured_steps_are_held_to_those_that_are_run() -> None:
    found = rows("graphs")
    assert found["captured"].value == "no"  # a CPU: both sides are run, and must be the same
    assert found["state_error"].value == 0 and found["likeliest_equal"].value == 1
    assert found["codes_equal.greedy"].value == found["codes_equal.drawn"].value == 1
    assert {f"{way}.{name}" for way in ("on", "off") for name in SPEEDS} <= set(found)


def test_the_second_stream_changes_no_sound() -> None:
    found = rows("stream")
    assert found["sound_equal"].value == 1, found["sound_equal"].note
    assert {"on.first_sound_s", "off.first_sound_s", "on.stall_s"} <= set(found)


def test_the_published_way_is_measured() -> None:
    assert set(rows("published")) >= SPEEDS


def test_the_plan_is_the_one_that_was_carried_out() -> None:
    loaded = load_random("nano", "cpu", "float32")
    assert 0.05e9 < plan_bytes(loaded) < 1e9


def test_marked_tests_are_found() -> None:
    assert "tests/omni/generation/test_decoding.py" in marked_files("gpu")
    assert rows("tests")["files"].value == len(marked_files("gpu"))


def test_counts_of_a_report(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase classname="a" name="good"/>'
        '<testcase classname="a" name="bad"><failure/></testcase>'
        '<testcase classname="a" name="left"><skipped message="no GPU"/></testcase>'
        "</testsuite></testsuites>",
        encoding="utf-8",
    )
    found = {row.name: row for row in report_rows(report)}
    assert (found["passed"].value, found["failed"].value, found["skipped"].value) == (1, 1, 1)
    assert found["failed"].ok is False and found["failed"].note == "a.bad"
    assert found["skipped"].note == "no GPU"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_part_that_breaks_off_or_hangs_is_told_and_the_rest_is_done(tmp_path: Path) -> None:
    results = Results(tmp_path / "out.jsonl")
    hang = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\ntime.sleep(60)"
    )
    code = {"first": "raise SystemExit('broken')", "second": hang, "third": "print('fine')"}
    parts = [Part("first", 20), Part("second", 1.5), Part("third", 20), Part("fourth", 20)]
    start = time.monotonic()
    run_parts(parts[:3], lambda name: python(code[name]), results, 60)
    run_parts(parts[3:], lambda name: python(""), results, 1)
    assert time.monotonic() - start < 30
    assert results.ends() == {"first": FAILED, "second": LATE, "third": DONE, "fourth": LEFT_OUT}
    ends = {line["part"]: line for line in results.lines() if line["what"] == "end"}
    assert "broken" in ends["first"]["detail"]
    child = int(ends["second"]["detail"].split()[0])
    assert not _runs(child)  # it went with its parent


def _runs(process: int) -> bool:
    state = Path(f"/proc/{process}/stat")
    try:
        return state.read_text(encoding="utf-8").rsplit(")")[-1].split()[0] != "Z"
    except OSError:
        return False


def test_a_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    results = Results(tmp_path / "out.jsonl")
    results.add_row("bf16", Row("first_sound_s", 0.2))
    with results.path.open("a", encoding="utf-8") as file:
        file.write('{"what": "row", "part": "bf')
    assert [(row.name, row.value) for row in results.rows()] == [("bf16.first_sound_s", 0.2)]


def test_the_whole_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    flags = ["--device", "cpu", "--config", "nano", "--quick", "--only", "tests,golden"]
    code = program.main([*flags, "--golden", "tests/golden/test_missing.py", "--out", str(out)])
    written = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert written[0]["what"] == "machine" and written[0]["cpu"]
    assert code == 1  # there are no such golden numbers
    assert Results(out).ends() == {"tests": DONE, "golden": FAILED}
    shown = capfd.readouterr().out
    assert "tests.files" in shown and "golden: failed" in shown


def test_flags_that_make_no_sense(capsys: pytest.CaptureFixture[str]) -> None:
    for flags in (["--only", "nothing"], ["--device", "cuda"]):
        with pytest.raises(SystemExit):
            program.main(flags)
    said = capsys.readouterr().err
    assert "--only knows" in said and "no CUDA device" in said


def test_what_is_wanted_most_comes_first() -> None:
    assert NAMES[:3] == ("tests", "graphs", "bf16") and NAMES[-1] == "golden"
    assert all(part.limit_s <= 150 for part in PARTS)
    assert run_process(python("pass"), 20)[0] == DONE
