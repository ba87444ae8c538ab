"""What the documents name is there: modules, paths, links; and the index lists every document."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.support.root import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob(".github/**/*.md")])
PACKAGES = "omni|demos|finetune|benchmarks|tests"
FOLDERS = f"{PACKAGES}|docs|assets|examples"
MODULE = re.compile(r"python3? -m ([\w.]+)")
NAME = re.compile(rf"`((?:{PACKAGES})(?:\.\w+)+)")
PATH = re.compile(rf"(?<![\w./~-])((?:{FOLDERS})/[\w./*<>-]+)")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def module_file(name: str) -> Path | None:
    """The file of a module of ours."""
    path = ROOT.joinpath(*name.split("."))
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()), None)


def missing(text: str, folder: Path) -> list[str]:
    """What ``text``, a document in ``folder``, names although it is not there."""
    found = []
    for name in MODULE.findall(text):
        if "NAME" in name:
            continue
        ours = re.match(rf"(?:{PACKAGES})\b", name)
        runs = module_file(name) if ours else importlib.util.find_spec(name)
        if isinstance(runs, Path) and runs.name == "__init__.py":
            runs = runs.with_name("__main__.py")
        if not runs or (isinstance(runs, Path) and not runs.is_file()):
            found.append(f"python -m {name}")
    for name in NAME.findall(text):
        parts = name.split(".")
        if not any(module_file(".".join(parts[:count])) for count in range(2, len(parts) + 1)):
            found.append(name)
    for path in PATH.findall(text):
        if not re.search(r"[*<>]|NAME", path) and not (ROOT / path.rstrip(".")).exists():
            found.append(path)
    for link in LINK.findall(text):
        if not re.match(r"\w+:", link) and not (folder / link).exists():
            found.append(link)
    return found


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_what_a_document_names_is_there(file: Path) -> None:
    assert missing(file.read_text(encoding="utf-8"), file.parent) == []


def test_the_index_lists_every_document() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    listed = {ROOT / "docs" / link for link in LINK.findall(index)}
    assert set(ROOT.glob("docs/*.md")) - listed == {ROOT / "docs" / "README.md"}


def test_what_is_not_there_is_found() -> None:
    text = """
    `python -m benchmarks.latency`, `omni.engine.Engine`, `docs/model.md`, [a](docs/model.md)
    `python -m benchmarks.speed`, `python -m omni.nothing`, `omni.nothing`, docs/nothing.md
    [b](nothing.md), `assets/words/<language>.yaml`, https://example.org/docs/nothing.md
    """
    assert missing(text, ROOT) == [
        "python -m benchmarks.speed",
        "python -m omni.nothing",
        "omni.nothing",
        "docs/nothing.md",
        "nothing.md",
    ]
