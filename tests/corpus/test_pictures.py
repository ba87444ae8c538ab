"""Odd pictures through ``/chat``."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.load.running import Visitor
from tests.corpus.outcomes import Case, Refused, Seen, keys_of, says
from tests.corpus.pictures import ASKED, PICTURES


@pytest.mark.parametrize("case", PICTURES, ids=str)
def test_a_picture_is_seen_or_refused(visitor: Visitor, tmp_path: Path, case: Case) -> None:
    images = [visitor.upload(case.make(tmp_path))]
    answer = visitor.call("chat", text=ASKED, images=images, speech=False, seed=1)
    if isinstance(case.right, Refused):
        assert says(answer.error, *case.right.keys), (answer, keys_of(answer.error or ""))
        return
    assert isinstance(case.right, Seen)
    assert answer.error is None
    assert case.right.text in answer.data[0]
