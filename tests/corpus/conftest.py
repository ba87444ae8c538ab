"""The app that all cases of the corpus share, and what it owes after each of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.load.running import GREETED, MEGABYTE, App, Visitor, running

# Of memory, above what the process holds between two cases. On one's own machine a picture may have
# 64 million pixels, which are 192 MB as RGB.
MOST_AT_ONCE = 500 * MEGABYTE
SERVED = ("-m", "tests.corpus.served")
MOST_IN_THE_END = 250 * MEGABYTE  # after hundreds of cases: what allocators do not give back


@pytest.fixture(scope="package")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app, which holds in the end what it held in the beginning."""
    with running(tmp_path_factory.mktemp("corpus"), program=SERVED) as app:
        assert app.greets() == GREETED  # the model is loaded ahead: wait for it, and for an answer
        first = app.settled()
        yield app
        last = app.settled()
        assert app.new_lines() == ""
        assert last.kept == 0, "files of visitors who left are still there"
        assert last.files <= first.files + 5
        assert last.threads <= first.threads + 10
        assert last.memory <= first.memory + MOST_IN_THE_END


@pytest.fixture
def unharmed(app: App) -> Iterator[App]:
    """The app; after the case it answers a good request as ever, and its log is empty."""
    measured = sys.platform == "linux"
    before = app.held().memory
    if measured:
        app.forget_peak()
    yield app
    assert app.greets() == GREETED
    assert app.new_lines() == ""
    if measured:
        assert app.peak() - before < MOST_AT_ONCE


@pytest.fixture
def visitor(unharmed: App) -> Iterator[Visitor]:
    """Somebody new on the page."""
    with unharmed.visitor() as visitor:
        yield visitor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a case writes its file."""
    return tmp_path
