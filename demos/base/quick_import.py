"""Importing Gradio in half the time.

Knows: what Gradio does while it is imported that a running program has no use for.
Does not know: anything of the page.

For each of its 80 components Gradio parses the component's source and writes a type stub beside it,
for editors. That is half of its import. It is left out for classes whose source cannot be found,
and so we tell it that none can.
"""

from __future__ import annotations

import inspect
from typing import Any


def import_gradio() -> None:
    """Import Gradio without its type stubs; once it is imported this does nothing."""
    find = inspect.getfile

    def no_source(object: Any) -> str:  # the library's argument name
        if isinstance(object, type) and object.__module__.startswith("gradio."):
            raise OSError("not needed to run")
        return find(object)

    inspect.getfile = no_source
    try:
        import gradio  # noqa: F401
    finally:
        inspect.getfile = find
