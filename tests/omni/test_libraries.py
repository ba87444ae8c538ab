"""Libraries whose parts import each other in circles are imported by one thread at a time."""

from __future__ import annotations

import subprocess
import sys

from tests.support.imports import imported_names
from tests.support.root import ROOT

# The page asks what would fit while the model is loaded ahead.
TOGETHER = """
import threading

told, ready = [], threading.Barrier(2)

def work(names):
    ready.wait()
    try:
        for name in names:
            __import__(name)
    except BaseException as error:
        told.append(repr(error))

threads = [
    threading.Thread(target=work, args=(names,))
    for names in (["omni.assistant"], ["omni.loading.placement", "omni.loading.outlook.fits"])
]
for one in threads:
    one.start()
for one in threads:
    one.join()
print(told)
"""


def test_two_threads_may_import_at_once() -> None:
    command = [sys.executable, "-c", TOGETHER]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_transformers_is_imported_in_one_place() -> None:
    files = [
        file for package in ("omni", "demos") for file in sorted((ROOT / package).rglob("*.py"))
    ]
    found = [
        file.relative_to(ROOT).as_posix()
        for file in files
        if any(name.split(".")[0] == "transformers" for name in imported_names(file))
    ]
    assert found == ["omni/libraries/hugging_face.py"]
