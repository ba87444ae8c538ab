"""The lock: every pinned requirement stands in constraints.txt with its version, and no more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.root import ROOT

REQUIREMENTS = sorted(ROOT.glob("requirements*.txt"))
LOCK = ROOT / "constraints.txt"
COMMANDS = [ROOT / "README.md", ROOT / "README_zh.md", ROOT / "tests" / "run.sh"]


def lines(file: Path) -> list[str]:
    """The lines that name a package."""
    text = file.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def pins(file: Path) -> dict[str, set[str]]:
    """Versions by package; one package may have several, each for other systems."""
    found: dict[str, set[str]] = {}
    for line in lines(file):
        pin = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?==([\w.+!]+)( *;.*)?", line)
        assert pin is not None, f"{file.name}: {line!r} is no exact pin"
        found.setdefault(re.sub(r"[-_.]+", "-", pin[1]).lower(), set()).add(pin[2])
    return found


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.name)
def test_requirements_are_locked_at_their_version(file: Path) -> None:
    locked = pins(LOCK)
    wrong = {
        name: versions for name, versions in pins(file).items() if locked.get(name) != versions
    }
    assert not wrong, f"other versions in constraints.txt: make it anew with {command()}"


def test_the_lock_names_its_command_and_no_place() -> None:
    assert command().startswith("uv pip compile --universal")
    assert all(file.name in command() for file in REQUIREMENTS)
    assert not re.search(r"://|--(extra-)?index|--find-links", LOCK.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", COMMANDS, ids=lambda file: file.name)
def test_whatever_installs_uses_the_lock(file: Path) -> None:
    installs = re.findall(r"pip install .*-r requirements[^`&]*", read(file))
    assert installs
    assert all("-c constraints.txt" in line for line in installs), installs


def read(file: Path) -> str:
    """A file's text, commands on one line each."""
    return file.read_text(encoding="utf-8").replace("\\\n", " ")


def command() -> str:
    """The command that made the lock, from its head."""
    return LOCK.read_text(encoding="utf-8").splitlines()[1].lstrip("# ")
