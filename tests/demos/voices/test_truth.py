"""What the page says a checkpoint can't do is in a table that knows everything on the page."""

from __future__ import annotations

from demos.base.languages import Words
from demos.build import TABS
from demos.voices.catalog import read_catalog
from demos.voices.library import USES
from demos.voices.truth import table, truth_of
from omni.prompting.styles import EMOTION_NAMES, STYLE_NAMES
from omni.shipped import ASSETS
from tests.support.fake_engine import FakeEngine

OFFERED = {
    "chips": {f"{tab.name}-{chip.key}" for tab in TABS for chip in tab.chips},
    "roles": set(read_catalog([ASSETS]).roles),
    "emotions": set(EMOTION_NAMES),
    "styles": set(STYLE_NAMES),
    "uses": set(USES),
}


def test_every_choice_of_the_page_was_measured() -> None:
    found = table()["nano"]
    assert {kind: set(found[kind]) for kind in OFFERED} == OFFERED
    assert found["command"].startswith("python -m benchmarks.what_works")
    entries = [entry for kind in OFFERED for entry in found[kind].values()]
    assert all(isinstance(entry["works"], bool) and entry["measured"] for entry in entries)


def test_the_makers_words_name_what_there_is() -> None:
    documented = table()["published"]["documented"]
    assert set(documented) == set(OFFERED)
    assert all(set(documented[kind]) <= OFFERED[kind] for kind in OFFERED)


def test_only_what_nano_was_seen_to_fail_at_is_marked() -> None:
    engine, words = FakeEngine(), Words("en")
    engine.trained = True
    list(engine.load())
    truth = truth_of(engine)  # type: ignore[arg-type]
    for kind in OFFERED:
        for name, entry in table()["nano"][kind].items():
            shown = truth.marked(words, "en", kind, name, "It")  # type: ignore[arg-type]
            assert shown == ("It" if entry["works"] else "It (not with nano)")


def test_nothing_is_said_of_a_checkpoint_that_was_not_measured() -> None:
    engine = FakeEngine()
    engine.settings = type(engine.settings)(model="baichuan-inc/Baichuan-Omni-1d5")
    truth = truth_of(engine)  # type: ignore[arg-type]
    assert truth.fails == {}
