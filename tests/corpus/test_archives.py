"""Odd archives through the page's Import: of a conversation, of voices; and Export after them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.load.running import Visitor
from tests.corpus.archives import CONVERSATIONS, VOICES
from tests.corpus.outcomes import Case, Refused, keys_of, says

SLIPPED = "omni-slipped.png"
SECRET = "root:"


@pytest.mark.parametrize("case", CONVERSATIONS, ids=str)
def test_a_conversation_is_shown_or_refused(visitor: Visitor, tmp_path: Path, case: Case) -> None:
    file = visitor.upload(case.make(tmp_path))
    answer = visitor.call("audio_import", **{"audio-import": file})
    shown = visitor.outputs("audio_import", answer).get("audio-chat")
    if isinstance(case.right, Refused):
        assert says(answer.sentences, *case.right.keys), (answer, keys_of(answer.sentences))
        assert not shown
    else:
        assert answer.error is None and not answer.said
        assert shown or case.name == "empty-talk"
    assert SECRET not in str(answer)
    assert not Path("/tmp", SLIPPED).exists()
    for again in ("audio_export", "write", "audio_clear"):
        assert visitor.call(again).error is None


@pytest.mark.parametrize("case", VOICES, ids=str)
def test_voices_are_added_or_refused(visitor: Visitor, tmp_path: Path, case: Case) -> None:
    file = visitor.upload(case.make(tmp_path))
    answer = visitor.call("import_file", **{"voice-import": file})
    assert answer.error is None
    if isinstance(case.right, Refused):
        assert says(str(answer.data), *case.right.keys), (answer.data, keys_of(str(answer.data)))
    else:
        assert says(str(answer.data), "voice-was-imported"), keys_of(str(answer.data))


def test_what_was_exported_is_imported_again(visitor: Visitor) -> None:
    assert visitor.call("audio_turn", **{"audio-text": "Hello!"}).error is None
    file = visitor.outputs("audio_export", visitor.call("audio_export"))["audio-export-file"]
    path = file["value"]["path"] if "value" in file else file["path"]
    meta = {"_type": "gradio.FileData"}
    answer = visitor.call("audio_import", **{"audio-import": {"path": path, "meta": meta}})
    assert answer.error is None and not answer.said
    assert "Hello! Nice to meet you." in str(answer.data)
