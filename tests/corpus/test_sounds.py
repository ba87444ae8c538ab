"""Odd sounds through ``/transcribe``, by the client that most scripts use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from benchmarks.load.running import App
from tests.corpus.outcomes import Case, Heard, Refused, keys_of, says
from tests.corpus.sounds import SOUNDS


@pytest.fixture(scope="module")
def script(app: App) -> Iterator[Client]:
    """Somebody's script."""
    client = app.client()
    yield client
    client.close()


@pytest.mark.parametrize("case", SOUNDS, ids=str)
def test_a_sound_is_heard_or_refused(
    unharmed: App, script: Client, tmp_path: Path, case: Case
) -> None:
    path = case.make(tmp_path)
    try:
        text, statistics = script.predict(audio=handle_file(path), api_name="/transcribe")
    except AppError as error:
        assert isinstance(case.right, Refused), str(error)
        assert says(str(error), *case.right.keys), (str(error), keys_of(str(error)))
        return
    assert isinstance(case.right, Heard), text
    case.right.check(text, statistics)
