"""Odd clips through ``/chat``."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.load.running import Visitor
from tests.corpus.clips import ASKED, CLIPS
from tests.corpus.outcomes import Case, Refused, Seen, keys_of, says


@pytest.mark.parametrize("case", CLIPS, ids=str)
def test_a_clip_is_seen_or_refused(visitor: Visitor, tmp_path: Path, case: Case) -> None:
    video = visitor.upload(case.make(tmp_path))
    answer = visitor.call("chat", text=ASKED, video=video, speech=False, seed=1)
    if isinstance(case.right, Refused):
        assert says(answer.error, *case.right.keys), (answer, keys_of(answer.error or ""))
        return
    assert isinstance(case.right, Seen)
    assert answer.error is None
    assert case.right.text in answer.data[0]
    notes = [note["kind"] for note in answer.data[2]["media_notes"]]
    assert notes == ([case.right.note] if case.right.note else [])
