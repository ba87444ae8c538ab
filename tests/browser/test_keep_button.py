"""Quantized weights kept by a click: the size before, then nothing to quantize at the next load."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from omni.loading.kept import shelf
from tests.browser import server as servers
from tests.browser.server import Server
from tests.browser.visit import Visit
from tests.support.checkpoints import write_checkpoint

LOAD_MS = 120_000


@pytest.fixture(scope="module")
def quantizing_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    top = tmp_path_factory.mktemp("keep")
    folder = write_checkpoint(top / "tiny")
    before = os.environ.get(shelf.VARIABLE)
    os.environ[shelf.VARIABLE] = str(top / "shelf")
    port = servers.free_port()
    flags = ["--model", str(folder), "--quantization", "4bit", "--device", "cpu"]
    server = servers.start(["app.py", *flags, "--port", str(port)], port, top / "log")
    yield server
    servers.end(server)
    if before is None:
        del os.environ[shelf.VARIABLE]
    else:
        os.environ[shelf.VARIABLE] = before


def test_a_click_keeps_the_weights(
    quantizing_server: Server, visitors: Callable[..., Visit]
) -> None:
    visit = visitors(quantizing_server)
    button, status = visit.page.locator("#model-keep"), visit.page.locator("#model-status")
    expect(button).to_be_hidden()
    visit.model()
    visit.page.locator("#model-load").click()
    expect(status).to_contain_text("4bit", timeout=LOAD_MS)
    expect(button).to_have_text(re.compile(r"Keep 4bit on disk \(\d+ MB\)"))
    button.click()
    expect(button).to_be_hidden(timeout=LOAD_MS)
    expect(status).to_contain_text("4bit")
    (entry,) = shelf.entries()
    assert entry.state == "ready" and Path(entry.model, "config.json").is_file()
    used = entry.used
    visit.page.locator("#model-unload").click()
    expect(status).to_contain_text("No model is loaded")
    visit.page.locator("#model-load").click()
    expect(status).to_contain_text("4bit", timeout=LOAD_MS)
    expect(button).to_be_hidden()
    assert shelf.entries()[0].used > used  # it was read from there
    visit.nothing_wrong()
