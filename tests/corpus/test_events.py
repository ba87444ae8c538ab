"""The page's own events as no page sends them."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.load.running import Visitor
from demos.base.languages import Words
from demos.build import build
from demos.turns.sessions import Sessions
from tests.corpus.outcomes import says

ODD: tuple[Any, ...] = (
    None,
    float("nan"),
    "\ud800",
    {"path": "/etc/passwd"},
    [[]],
)
INDEXES: tuple[Any, ...] = ({"index": -1}, {"index": 10**6, "value": "a"}, {"row": "x"}, 5)
REPEATED = ("render", "following", "js_fn", "unnamed")  # of these one stands for the others


def names() -> list[str]:
    """The events that the server does; of those that are there many times, one."""
    import tempfile
    from pathlib import Path

    from tests.support.fake_engine import FakeEngine

    with tempfile.TemporaryDirectory() as folder:
        sessions = Sessions(Path(folder) / "root")
        page = build(FakeEngine(), sessions, Words())  # type: ignore[arg-type]
        found = [str(fn.api_name) for fn in page.fns.values() if fn.fn is not None]
        sessions.close()
    return [name for name in found if name in REPEATED or not name.startswith(REPEATED)]


@pytest.mark.parametrize("name", names())
def test_an_event_answers_whatever_it_gets(visitor: Visitor, name: str) -> None:
    event = visitor.event(name)
    wrong = []
    for odd in ODD:
        answer = visitor.send(event["id"], [odd] * len(event["inputs"]))
        if answer.error == "" or says(answer.error, "unexpected"):
            wrong.append((odd, answer))
    for index in INDEXES:
        shown = [None] * len(event["inputs"])
        answer = visitor.send(event["id"], shown, index)
        if answer.error == "" or says(answer.error, "unexpected"):
            wrong.append((index, answer))
    assert not wrong
