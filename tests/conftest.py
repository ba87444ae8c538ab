"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from omni.media.limits import limits, set_limits
from tests.support.golden_set import GoldenSet, golden_set


@pytest.fixture(scope="session")
def golden() -> GoldenSet:
    """The golden data, see tests/support/golden_set.py."""
    return golden_set()


@pytest.fixture(scope="session")
def golden_tokenizer(golden: GoldenSet):  # type: ignore[no-untyped-def]
    """The folder of the golden set's tokenizer files."""
    if golden.tokenizer is None:
        pytest.skip(
            "this golden set has no tokenizer files (the published vocabulary is not "
            "redistributed here): set OMNI_GOLDEN to a set that has them"
        )
    return golden.tokenizer


@pytest.fixture(autouse=True)
def own_limits() -> Iterator[None]:
    """Bounds of decoding that a test sets for the process are gone after it."""
    before = limits()
    yield
    set_limits(before)
