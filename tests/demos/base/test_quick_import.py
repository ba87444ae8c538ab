"""Importing Gradio quickly leaves out its type stubs and nothing else."""

from __future__ import annotations

import subprocess
import sys

from tests.support.root import ROOT

CODE = """
import ast, inspect, sys
parse, parsed, find = ast.parse, [], inspect.getfile
def counting(source, *arguments, **options):
    parsed.append(source)
    return parse(source, *arguments, **options)
ast.parse = counting
from demos.base.quick_import import import_gradio
import_gradio()
import gradio
assert inspect.getfile is find
assert not any("class Textbox" in str(text) for text in parsed), "a stub was made"
assert gradio.Textbox.submit and gradio.Button.click and gradio.Audio.stream
inspect.getfile(gradio.Textbox)
import_gradio()
with gradio.Blocks() as page:
    gradio.Button().click(lambda: None)
assert page.fns
"""


def test_gradio_is_whole_without_its_stubs() -> None:
    subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, check=True)
