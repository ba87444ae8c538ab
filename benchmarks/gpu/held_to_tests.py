"""Tests as a part of the measurement: how many passed, which did not.

Knows: pytest's report. Does not know: what the tests are about.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.lib.rows import Bound, Row

ROOT = Path(__file__).parents[2]
RAN = (0, 1)  # pytest's exit codes where tests ran, and passed or failed
NAMES_SHOWN = 5


def marked_files(mark: str) -> list[str]:
    """The test files that have the mark: collecting all others would take longer than running."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    marker = f"mark.{mark}"
    return [str(f.relative_to(ROOT)) for f in files if marker in f.read_text(encoding="utf-8")]


def test_rows(arguments: Sequence[str]) -> Iterator[Row]:
    """Run pytest with ``arguments``; its counts, and the names of what failed.

    Raises:
        RuntimeError: pytest itself broke off.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *arguments]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if code not in RAN or not report.is_file():
            raise RuntimeError(f"pytest ended with {code} and gave no results")
        yield from report_rows(report)


def report_rows(report: Path) -> Iterator[Row]:
    """The rows of a report in JUnit's form."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    bad = [case for case in cases if {"failure", "error"} & {child.tag for child in case}]
    skipped = [case for case in cases if "skipped" in {child.tag for child in case}]
    names = [f"{case.get('classname')}.{case.get('name')}" for case in bad]
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    yield Row("passed", len(cases) - len(bad) - len(skipped))
    yield Row("failed", len(bad), Bound(0, at_most=True), ", ".join(names[:NAMES_SHOWN]) + more)
    reasons = {child.get("message", "") for case in skipped for child in case.iter("skipped")}
    yield Row("skipped", len(skipped), note="; ".join(sorted(reasons)))
