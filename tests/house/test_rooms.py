"""The rooms of docs/architecture.md are those of the tree; imports run downwards in its table."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.imports import arrows, circles, imported_names, module_name, tree
from tests.support.root import ROOT

TABLE = ROOT / "docs" / "architecture.md"
PACKAGES = ("omni", "demos", "finetune", "benchmarks")
# What the modules of a package may import besides the libraries.
BELOW = {
    "app": {"demos"},
    "benchmarks": {"benchmarks", "demos", "finetune", "omni"},
    "finetune": {"finetune", "omni"},
    "demos": {"demos", "omni"},
    "omni": {"omni"},
}
FORBIDDEN = {"omni": {"gradio", "demos"}, "finetune": {"gradio", "demos"}, "demos": {"torch"}}
MOST_FILES = 15  # in a room
MOST_AT_THE_TOP = {"omni": 15, "demos": 5}
MOST_LINES = 400  # of a file
MOST_LINES_OF_A_FUNCTION = 60


@cache
def rows() -> list[tuple[str, ...]]:
    """The rooms from top to bottom, each by its paths: a folder (``omni/media/``) or files."""
    section = TABLE.read_text(encoding="utf-8").split("\n## Rooms\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [tuple(re.findall(r"`([^`]+)`", cell)) for cell in cells]


@cache
def files() -> list[Path]:
    """Every Python file that the rooms are about."""
    found = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    return [ROOT / "app.py", *found]


def room(module: str) -> int:
    """The number of a module's row; those that name the file come before those of its folder."""
    path = module.replace(".", "/") + ".py"
    folder = path.rpartition("/")[0] + "/"
    for wanted in (path, folder):
        for number, paths in enumerate(rows()):
            if wanted in paths:
                return number
    pytest.fail(f"{path} is in no row of {TABLE.name}")


def modules() -> list[str]:
    """The names of all modules but those of packages."""
    return [module_name(file, ROOT) for file in files() if file.name != "__init__.py"]


def test_every_folder_is_a_room_of_the_table() -> None:
    folders = {
        file.parent.relative_to(ROOT).as_posix() + "/"
        for file in files()
        if file.name != "__init__.py" and file.parent not in (ROOT, ROOT / "omni", ROOT / "demos")
    }
    listed = Counter(path for paths in rows() for path in paths)
    assert not [path for path, count in listed.items() if count > 1]
    assert folders == {path for path in listed if path.endswith("/")}


def test_what_lies_at_the_top_is_named_in_the_table() -> None:
    listed = {path for paths in rows() for path in paths if path.endswith(".py")}
    at_the_top = {
        file.relative_to(ROOT).as_posix()
        for file in [*ROOT.glob("app.py"), *ROOT.glob("omni/*.py"), *ROOT.glob("demos/*.py")]
        if file.name != "__init__.py"
    }
    assert {path for path in listed if not (ROOT / path).is_file()} == set()
    assert at_the_top - listed == set()


def test_imports_run_downwards() -> None:
    wrong = []
    for module, others in arrows(files(), ROOT).items():
        for other in sorted(others):
            package, below = module.split(".")[0], other.split(".")[0]
            if below not in BELOW[package] or room(other) < room(module):
                wrong.append(f"{module} -> {other}")
    assert not wrong


def test_no_circle_of_rooms() -> None:
    graph: dict[str, set[str]] = {}
    for module, others in arrows(files(), ROOT).items():
        here = ", ".join(rows()[room(module)])
        there = {", ".join(rows()[room(other)]) for other in others}
        graph.setdefault(here, set()).update(there - {here})
    assert not circles({name: frozenset(others) for name, others in graph.items()})


def test_no_circle_of_files() -> None:
    assert not circles(arrows(files(), ROOT))


def test_no_package_imports_what_it_does_not_know() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in files()
        for name in imported_names(file)
        if name.split(".")[0] in FORBIDDEN.get(module_name(file, ROOT).split(".")[0], ())
    ]
    assert not wrong


def test_packages_import_nothing() -> None:
    """So that whoever imports one file imports no others by the way."""
    starts = [file for file in files() if file.name == "__init__.py"]
    assert not [f"{file.relative_to(ROOT)}" for file in starts if set(imported_names(file))]


def test_no_room_is_crowded() -> None:
    counts = Counter(file.parent for file in files() if file.name != "__init__.py")
    crowded = {
        folder.relative_to(ROOT).as_posix(): count
        for folder, count in counts.items()
        if count > MOST_AT_THE_TOP.get(folder.relative_to(ROOT).as_posix(), MOST_FILES)
    }
    assert not crowded


def test_no_file_is_long() -> None:
    lines = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in files()}
    assert not [f"{file.relative_to(ROOT)}: {n}" for file, n in lines.items() if n > MOST_LINES]


def functions(file: Path) -> Iterator[tuple[str, int]]:
    """The functions of a file, with their lines."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_no_function_is_long() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}: {name} ({lines})"
        for file in files()
        for name, lines in functions(file)
        if lines > MOST_LINES_OF_A_FUNCTION
    ]
    assert not wrong


def test_every_module_says_what_it_knows() -> None:
    silent = [
        file.relative_to(ROOT).as_posix()
        for file in files()
        if not ast.get_docstring(tree(file)) and file.read_text(encoding="utf-8").strip()
    ]
    assert not silent


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e2"}, "e2": {"e"}}
    found = circles({name: frozenset(others) for name, others in graph.items()})
    assert sorted(found) == [["b", "c"], ["e", "e2"]]


def test_imports_are_found_wherever_they_stand(tmp_path: Path) -> None:
    package = tmp_path / "omni"
    package.mkdir()
    (package / "a.py").write_text("def f():\n    from omni import b\n", encoding="utf-8")
    (package / "b.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import omni.a\n", encoding="utf-8"
    )
    found = arrows([package / "a.py", package / "b.py"], tmp_path)
    assert found == {"omni.a": {"omni.b"}, "omni.b": {"omni.a"}}
