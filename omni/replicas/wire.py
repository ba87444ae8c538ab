"""What travels between the processes of one machine besides requests and events.

Knows: plain values that can be pickled. Does not know: processes, models.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from omni.errors import OmniError, ResourceError
from omni.options import GenerationOptions
from omni.settings import LoadReport


@dataclass(frozen=True)
class Refused:
    """An error that a person can cause."""

    code: str
    sentence: str
    params: dict[str, object]
    kind: type[OmniError]

    @classmethod
    def of(cls, error: OmniError) -> Refused:
        """The error as what can travel between processes."""
        return cls(error.code, str(error), dict(error.params), type(error))

    def error(self) -> OmniError:
        """The error again; its sentence is made already, and may hold braces."""
        error = self.kind(self.code, self.sentence.replace("{", "{{").replace("}", "}}"))
        error.params = self.params
        return error


@dataclass(frozen=True)
class Crashed:
    """An error that nobody expects, as a traceback to be logged."""

    trace: str

    @classmethod
    def of(cls, error: BaseException) -> Crashed:
        """The error with where it came from."""
        return cls("".join(traceback.format_exception(error)))


@dataclass(frozen=True)
class Done:
    """Nothing more comes of what was asked."""

    report: LoadReport | None  # what is loaded now
    options: GenerationOptions  # the checkpoint's own


@dataclass(frozen=True)
class Keep:
    """The process is to keep its quantized weights on the disk."""


@dataclass(frozen=True)
class Stop:
    """The request that is under way is to end."""

    number: int  # of the request


class ReplicaLost(ResourceError):
    """The process of a model ended in the middle of its work."""
