"""Who imports whom: the modules of a source tree and the arrows between them.

Knows: Python's syntax (imports inside functions and under TYPE_CHECKING count too). Does not know:
which arrows are allowed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

Arrows = Mapping[str, frozenset[str]]


@cache
def tree(file: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def module_name(file: Path, root: Path) -> str:
    """``omni/media/wav.py`` is ``omni.media.wav``; a package is named after its folder."""
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(file: Path) -> Iterator[str]:
    """Every module that a file may import; also the names of what it takes from one."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{file}: a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows(files: Iterable[Path], root: Path) -> Arrows:
    """The modules among ``files`` that each of them imports (packages' own files left out)."""
    modules = {module_name(file, root): file for file in files if file.name != "__init__.py"}
    return {
        name: frozenset(set(imported_names(file)) & modules.keys() - {name})
        for name, file in modules.items()
    }


def circles(graph: Arrows) -> list[list[str]]:
    """Sets of nodes that reach each other, each sorted (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        path.append(node)
        for other in graph.get(node, ()):
            if other not in order:
                visit(other)
            if other in path:
                low[node] = min(low[node], low[other])
        if low[node] == order[node]:
            place = path.index(node)
            if len(path) - place > 1:
                found.append(sorted(path[place:]))
            del path[place:]

    for node in graph:
        if node not in order:
            visit(node)
    return found
