"""What travels between a client and an engine of another machine, as bytes.

Knows: which values may travel, how each is written and read. Does not know: connections, models.

A message is a JSON tree and, behind it, the arrays that it names. Nothing is ever executed: values
are of the classes below or plain, and whatever else comes is refused. A file is a number in the
tree; its content travels by itself (:mod:`omni.remote.shelf`), and only what is not there yet.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from omni import conversation as said
from omni import errors, events, options
from omni.engine import EngineState
from omni.errors import CheckpointError, OmniError
from omni.fair_queue import Asker
from omni.requests import (
    PrepareRequest,
    ReadAloudRequest,
    ReadLine,
    ReadLinesRequest,
    Request,
    TranscribeRequest,
    TurnRequest,
)
from omni.settings import EngineSettings, LoadReport

VERSION = 1  # of all this; whoever changes what travels raises it
VERSION_HEADER = "x-omni-wire"
SESSION_HEADER = "x-session-id"  # by which Ray Serve finds the replica that knows a session
ADAPTER_HEADER = "serve_multiplexed_model_id"  # by which it knows that one is asked for
GREETING = "omni-engine"  # the key of the first message, which every version understands
MOST_BYTES = 16 * 2**20  # of a message
CHUNK_BYTES = 2**20  # of a file that is sent
HEAD = struct.Struct(">I")  # bytes of the tree, before it
DTYPES = ("int16", "int32")  # of sound and of codes
HERE = ("stop", "started")  # fields of a request that mean something in its own process alone


class WireError(Exception):
    """Bytes that are no message of this version."""


@dataclass(frozen=True)
class GivenFile:
    """A file that a request names, in the order of their numbers."""

    name: str
    size: int  # bytes; -1: it is not there
    digest: str  # SHA-256 of the content, hexadecimal


@dataclass(frozen=True)
class Hello:
    """The first that a client hears, once it may ask."""

    report: LoadReport | None  # what is loaded
    options: options.GenerationOptions  # the checkpoint's own
    settings: EngineSettings  # its adapters: all that are offered
    state: EngineState


@dataclass(frozen=True)
class Ask:
    """What a client wants."""

    request: Request | None  # None: that the model be loaded
    files: tuple[GivenFile, ...] = ()


@dataclass(frozen=True)
class Want:
    """The files that are not there yet, by their numbers: they are to be sent in this order."""

    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Stop:
    """The request is to come to its end."""


@dataclass(frozen=True)
class Forget:
    """What is kept of a session is not needed any more."""

    session: str


@dataclass(frozen=True)
class Done:
    """Nothing more comes; how things stand now."""

    hello: Hello


@dataclass(frozen=True)
class Refusal:
    """An error that a person can cause, or, without a code, one that nobody expects."""

    code: str
    sentence: str
    kind: str  # the name of its class
    params: Mapping[str, object]

    @classmethod
    def of(cls, error: OmniError) -> Refusal:
        """An error as it travels."""
        kinds = (one.__name__ for one in type(error).__mro__ if one.__name__ in KINDS)
        params = {
            name: value if isinstance(value, (str, int, float)) else str(value)
            for name, value in error.params.items()
        }
        return cls(error.code, str(error), next(kinds), params)

    def error(self) -> OmniError:
        """The error again; its sentence is made already, and may hold braces."""
        kind = KINDS.get(self.kind, OmniError)
        error = kind(self.code, self.sentence.replace("{", "{{").replace("}", "}}"))
        error.params = dict(self.params)
        return error


KINDS: dict[str, type[OmniError]] = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, OmniError)
}
CLASSES: dict[str, type[Any]] = {
    one.__name__: one
    for one in (
        *(said.Text, said.Image, said.Audio, said.Video, said.Speech, said.Message),
        *(said.VoicePrompt, said.SystemPrompt, said.Conversation),
        *(options.Sampling, options.GenerationOptions, EngineSettings, LoadReport, Asker),
        *(TurnRequest, PrepareRequest, TranscribeRequest, ReadAloudRequest),
        *(ReadLine, ReadLinesRequest),
        *(events.TextDelta, events.SpeechChunk, events.Progress, events.TurnEnd),
        *(events.TurnStats, events.MediaNote),
        *(GivenFile, Hello, Ask, Want, Stop, Forget, Done, Refusal),
    )
}


def pack(value: object, files: list[Path] | None = None) -> bytes:
    """A value as a message.

    Args:
        files: gets the files that it names, each once; None: it may name none.
    """
    arrays: list[np.ndarray] = []
    tree = json.dumps(_tree(value, arrays, files), separators=(",", ":")).encode()
    return b"".join((HEAD.pack(len(tree)), tree, *(array.tobytes() for array in arrays)))


def unpack(data: bytes | str, files: Callable[[int], Path] | None = None) -> Any:
    """The value of a message.

    Args:
        files: where a file of that number is; None: it may name none.

    Raises:
        WireError: it is no message.
    """
    try:
        if isinstance(data, str):
            raise WireError("text where bytes are expected")
        (length,) = HEAD.unpack_from(data)
        begin = HEAD.size + length
        tree = json.loads(data[HEAD.size : begin].decode())
        reader = _Reader(memoryview(data)[begin:], files)
        value = reader.value(tree)
        reader.finish()
        return value
    except WireError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError, struct.error) as error:
        raise WireError(f"{type(error).__name__}: {error}") from error


def offered(name: str, adapters: tuple[str, ...]) -> str:
    """The one of ``adapters`` that somebody calls ``name``, whole or by its last part.

    Raises:
        CheckpointError: ``remote-adapter``, there is none.
    """
    known = {PurePath(one).name: one for one in adapters} | {one: one for one in adapters}
    if name in known:
        return known[name]
    raise CheckpointError(
        "remote-adapter",
        "The engine does not offer the adapter {name}: it can answer with {offered}.",
        name=name,
        offered=", ".join(PurePath(one).name for one in adapters) or "the model alone",
    )


def greeting(program: str) -> str:
    """The first message of an engine."""
    return json.dumps({GREETING: VERSION, "program": program})


def greeted(message: bytes | str) -> tuple[int, str]:
    """The version of the other end, and that of its program.

    Raises:
        WireError: it is no engine.
    """
    try:
        told = json.loads(message)
        return int(told[GREETING]), str(told["program"])
    except (ValueError, TypeError, KeyError) as error:
        raise WireError("no engine") from error


def _tree(value: Any, arrays: list[np.ndarray], files: list[Path] | None) -> Any:
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (tuple, list)):
        return [_tree(item, arrays, files) for item in value]
    if isinstance(value, Mapping):
        return {"$": "map", "of": {str(key): _tree(value[key], arrays, files) for key in value}}
    if isinstance(value, Path):
        if files is None:
            raise TypeError("a file cannot travel here")
        if value not in files:
            files.append(value)
        return {"$": "file", "of": files.index(value)}
    if isinstance(value, np.ndarray):
        if value.dtype.name not in DTYPES:
            raise TypeError(f"an array of {value.dtype} cannot travel")
        arrays.append(value)
        return {"$": "array", "of": [value.dtype.name, *value.shape]}
    if is_dataclass(value) and CLASSES.get(type(value).__name__) is type(value):
        if isinstance(value, said.Speech) and value.codes is not None:
            value = replace(value, path=None)  # its codes say all
        names = [item.name for item in fields(value) if item.name not in HERE]
        tree = {name: _tree(getattr(value, name), arrays, files) for name in names}
        return {"$": type(value).__name__, **tree}
    raise TypeError(f"{type(value).__name__} cannot travel")


class _Reader:
    """Reads a tree; the arrays lie behind it in the order in which it names them."""

    def __init__(self, rest: memoryview, files: Callable[[int], Path] | None) -> None:
        self._rest, self._files = rest, files

    def value(self, tree: Any) -> Any:
        """The value that a part of the tree stands for."""
        if isinstance(tree, list):
            return tuple(self.value(item) for item in tree)
        if not isinstance(tree, dict):
            return tree
        kind = tree["$"]
        if kind == "map":
            return {key: self.value(item) for key, item in tree["of"].items()}
        if kind == "file":
            if self._files is None:
                raise WireError("a file where there can be none")
            return self._files(int(tree["of"]))
        if kind == "array":
            return self._array(*tree["of"])
        return CLASSES[kind](**{key: self.value(item) for key, item in tree.items() if key != "$"})

    def finish(self) -> None:
        """Nothing may be left."""
        if len(self._rest):
            raise WireError("more bytes than arrays")

    def _array(self, dtype: str, *shape: int) -> np.ndarray:
        if dtype not in DTYPES or any(type(size) is not int or size < 0 for size in shape):
            raise WireError("an array of no known form")
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size > len(self._rest):
            raise WireError("an array is cut off")
        data, self._rest = self._rest[:size], self._rest[size:]
        return np.frombuffer(data, dtype).reshape(shape).copy()  # one that may be written to
