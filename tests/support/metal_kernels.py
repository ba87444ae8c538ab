"""What is known of Apple's GPUs without one: the kernels that torch has for them.

Read from the table that torch itself is generated from, which comes with every torch
(torchgen/packaged/ATen/native/native_functions.yaml): an operation has a kernel for MPS, or is put
together from others that are looked at by themselves.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torchgen
import yaml
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.support.root import ROOT

TABLE = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native" / "native_functions.yaml"
# What Metal does not know at all.
UNKNOWN_DTYPES = {torch.float64, torch.complex128, torch.float8_e4m3fn, torch.float8_e5m2}


@cache
def _table() -> dict[str, dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = yaml.load(TABLE.read_text(encoding="utf-8"), Loader=loader)
    return {entry["func"].split("(")[0]: entry for entry in entries}


def runs_on_metal(operation: str) -> bool:
    """Whether ``operation`` (``add.Tensor``) has a kernel for MPS or is made of others.

    Raises:
        KeyError: torch has no such operation.
    """
    entry = _table()[operation]
    kernels = entry.get("dispatch")
    if kernels is None and "structured_delegate" not in entry:
        return True  # written in terms of other operations
    names = {name.strip() for group in kernels or {} for name in group.split(",")}
    if any(name == "MPS" or name.startswith("Composite") for name in names):
        return True
    delegate = entry.get("structured_delegate")
    return delegate is not None and runs_on_metal(delegate)


class Operations(TorchDispatchMode):
    """Notes every operation while it is entered, and which files of omni use which dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()  # as in torch's table
        self.files: dict[torch.dtype, set[str]] = defaultdict(set)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func.namespace == "aten":
            self.names.add(str(func).removeprefix("aten.").removesuffix(".default"))
        dtypes = {t.dtype for t in tree_leaves((args, kwargs, result)) if isinstance(t, Tensor)}
        unusual = dtypes & UNKNOWN_DTYPES
        if unusual:
            file = _file_of_ours()
            for dtype in unusual:
                self.files[dtype].add(file)
        return result


def _file_of_ours() -> str:
    """The file of omni that asked for the operation."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT / "omni"):
            return path.relative_to(ROOT).as_posix()
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere"
