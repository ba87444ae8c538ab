"""Values by the names of their components, and the browser code that counts them."""

from __future__ import annotations

import json
import shutil
import subprocess

import gradio as gr
import pytest

from demos.base.browser_values import chosen_js, constants_js, place_of


def run(js: str, *arguments: object) -> object:
    """What browser code gives."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to run browser code")
    given = ", ".join(map(json.dumps, arguments))
    script = f"const begun = []; const given = ({js})({given});"
    script += " console.log(JSON.stringify([given, begun]));"
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_place_is_the_one_in_gradios_own_list() -> None:
    with gr.Blocks() as page:
        one, two, three = gr.Textbox(), gr.Textbox(), gr.Textbox()
        gr.Button().click(lambda values: None, {three, two, one}, None)
    inputs = list(next(iter(page.fns.values())).inputs)
    for component in (one, two, three):
        assert place_of(component, {two, three, one}) == inputs.index(component)


def test_constants_come_in_the_order_of_their_outputs() -> None:
    with gr.Blocks():
        text, number, box = gr.Textbox(), gr.Number(), gr.Checkbox()
    code = constants_js({number: 7, text: "seven", box: None}, "begun.push(1);")
    assert code.outputs == [number, text, box]
    assert run(code.js, "whatever") == [[7, "seven", None], [1]]


def test_a_choice_gives_its_row_and_leaves_the_rest_alone() -> None:
    with gr.Blocks():
        text, number = gr.Textbox(), gr.Number()
    table = {"a": {text: "A"}, "b": {number: 2, text: "B"}}
    code = chosen_js(table, "begun.push(choice);")
    assert code.outputs == [text, number]
    assert run(code.js, "a") == [["A", None], ["a"]]  # undefined, as JSON has it
    assert run(code.js, "b") == [["B", 2], ["b"]]
    assert run(code.js, "c") == [[None, None], ["c"]]
