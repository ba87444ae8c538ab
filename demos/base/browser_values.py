"""Values by the names of their components, in Python and in the browser.

Knows: how Gradio hands values to handlers and to browser code. Does not know: any component.

Handlers that take many values take them as Gradio gives those of a set of components: a mapping
from component to value; what they return is one, too. Browser code of an event gets and gives lists
instead. That a place in such a list means a component is known here and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from gradio.blocks import Block

from demos.base.gradio_internals import in_browser_order

Inputs: TypeAlias = set[Block]  # of an event: what its handler gets the values of
# What a handler gets: the value of each input. Its type is the component's affair.
Values: TypeAlias = Mapping[Block, Any]
# What a handler gives: new values or updates; a component that is not among them stays as it is.
Changes: TypeAlias = dict[Block, Any]


@dataclass(frozen=True)
class BrowserCode:
    """Code that gives the values of ``outputs``, in their order."""

    outputs: list[Block]
    js: str


def place_of(component: Block, inputs: Inputs) -> int:
    """Where the value of ``component`` stands for the browser code of an event.

    Args:
        inputs: the set of components that the event takes.
    """
    return in_browser_order(inputs).index(component)


def constants_js(values: Changes, first: str = "") -> BrowserCode:
    """Browser code that gives constants, whatever it gets.

    Args:
        values: what each component gets, as JSON has it.
        first: statements to run before.
    """
    constants = json.dumps(list(values.values()))
    return BrowserCode(list(values), f"() => {{ {first} return {constants}; }}")


def chosen_js(table: Mapping[str, Changes], first: str = "") -> BrowserCode:
    """Browser code of an event whose one input chooses a row of ``table``.

    Args:
        table: what the components get for each value of the input, as JSON has it; a component
            that a row does not name stays as it is.
        first: statements to run before; ``choice`` is the input's value there.
    """
    outputs = list(dict.fromkeys(component for row in table.values() for component in row))
    places = {component: place for place, component in enumerate(outputs)}
    rows = {
        choice: {places[component]: value for component, value in row.items()}
        for choice, row in table.items()
    }
    value = f"({json.dumps(rows)})[choice]?.[place]"  # undefined: it stays
    return BrowserCode(
        outputs,
        f"(choice) => {{ {first}"
        f" return Array.from({{length: {len(outputs)}}}, (_, place) => {value}); }}",
    )


def download_js(name: str) -> str:
    """Browser code that saves the file of its one input, if there is one.

    Args:
        name: for a file that has none of its own.
    """
    return f"""(file) => {{
      if (!file?.url) return;
      const link = document.createElement("a");
      link.href = file.url;
      link.download = file.orig_name ?? {json.dumps(name)};
      link.click();
    }}"""
