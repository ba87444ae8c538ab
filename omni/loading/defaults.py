"""What a checkpoint says about how to use it: its own default options and its limits.

Knows: the ``omni`` part of generation_config.json as plain values. Does not know: files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

from omni.options import GenerationOptions

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """How far a checkpoint may go in one turn, whatever was asked for; None: as asked."""

    text_tokens: int | None = None  # a text call
    audio_frames: int | None = None  # a spoken piece
    rounds: int | None = None  # text and speech alternating
    # Of every phase; 1 for a model of few words and codes, which must repeat them.
    repetition_penalty: float | None = None

    def of(self, options: GenerationOptions) -> GenerationOptions:
        """``options`` cut down to the limits."""
        changes: dict[str, Any] = {}
        for phase in ("first_text", "next_text", "text_only", "audio"):
            limit = self.audio_frames if phase == "audio" else self.text_tokens
            sampling = getattr(options, phase)
            most = sampling.max_new if limit is None else min(limit, sampling.max_new)
            penalty = sampling.repetition_penalty
            if self.repetition_penalty is not None:
                penalty = min(penalty, self.repetition_penalty)
            changes[phase] = replace(sampling, max_new=most, repetition_penalty=penalty)
        if self.rounds is not None and options.max_rounds > self.rounds:
            changes["max_rounds"] = self.rounds
        return replace(options, **changes)


@dataclass(frozen=True)
class GenerationDefaults:
    """The ``omni`` part of generation_config.json: ``options`` (a partial GenerationOptions),
    ``limits`` (:class:`Limits`), ``trained`` (false for random weights) and ``scripts`` (what it
    has learnt to read aloud, as in :func:`omni.prompting.scripts.strange_word`; empty: not told);
    all optional.
    """

    options: GenerationOptions = field(default_factory=GenerationOptions)
    limits: Limits = field(default_factory=Limits)
    trained: bool = True
    scripts: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> GenerationDefaults:
        """What ``values`` says, the product's defaults for the rest.

        Raises:
            TypeError: a name that is no setting.
        """
        return _updated(cls(), values)


def _updated(base: T, values: Mapping[str, Any]) -> T:
    """``base`` with the values of a JSON object, nested dataclasses likewise.

    Raises:
        TypeError: an unknown name.
    """
    changes: dict[str, Any] = {}
    known = {item.name for item in fields(base)}  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in known:
            raise TypeError(f"unknown setting {name}")
        old = getattr(base, name)
        if is_dataclass(old):
            value = _updated(old, value)
        elif isinstance(value, list):
            value = tuple(value)
        changes[name] = value
    return replace(base, **changes)  # type: ignore[type-var]
