"""JSON objects to frozen dataclasses, and back to complete JSON objects.

Knows: dataclass fields, their defaults, nesting. Does not know: what a field means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, TypeVar

T = TypeVar("T")


def read(cls: type[T], values: Mapping[str, Any]) -> T:
    """``cls`` from a JSON object: unknown keys ignored, lists to tuples, missing keys default."""
    known = {}
    for item in fields(cls):  # type: ignore[arg-type]
        if item.name in values:
            default = item.default_factory() if callable(item.default_factory) else None
            known[item.name] = _value(values[item.name], default)
    return cls(**known)


def _value(value: Any, default: Any) -> Any:
    if is_dataclass(default) and isinstance(value, Mapping):
        return read(type(default), value)
    if isinstance(value, list):
        return tuple(_value(item, None) for item in value)
    return value


def complete(cls: type[Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """``given`` with everything kept, and what it lacks of ``cls`` filled in."""
    return _merge(plain(asdict(cls())), given or {})


def _merge(base: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in given.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, Mapping)
        merged[key] = _merge(old, value) if both else plain(value)  # type: ignore[arg-type]
    return merged


def plain(value: Any) -> Any:
    """Tuples to lists, as JSON reads them back."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
