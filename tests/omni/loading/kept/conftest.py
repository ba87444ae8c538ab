"""A tiny checkpoint, quantized forms of it, and a shelf of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni.loading.kept import shelf
from tests.support.checkpoints import write_checkpoint
from tests.support.kept import quantized


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("source") / "tiny")


@pytest.fixture(scope="session")
def quantized_folders(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """In 4 and in 8 bits."""
    top = tmp_path_factory.mktemp("quantized")
    return {bits: quantized(source, top / bits, bits).folder for bits in ("4bit", "8bit")}  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def own_shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "shelf"
    monkeypatch.setenv(shelf.VARIABLE, str(place))
    return place
