"""The way from sound to sound without a language model is measured stage by stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import round_trip
from benchmarks.lib.rows import read_json
from finetune.nano.domain.width import LANGUAGES
from tests.support.espeak import needs_espeak

SHARES = ("wer_percent", "sentence_percent", "voice_percent", "style_percent")
MEASURES = (*SHARES, "pitch_off_octaves")


@needs_espeak
def test_what_has_lost_nothing_is_found_again(tmp_path: Path) -> None:
    assert round_trip.main(["--items", "2", "--json", str(tmp_path / "trip.json")]) == 0
    rows, about = read_json(tmp_path / "trip.json")
    values = {row.name: row.value for row in rows}
    ways = ("espeak", "mel", "mean", "codes")
    assert set(values) == {f"{n}.{w}.{m}" for n in LANGUAGES for w in ways for m in MEASURES}
    for language in LANGUAGES:
        assert values[f"{language}.espeak.sentence_percent"] == 100
        assert values[f"{language}.espeak.voice_percent"] == 100
        assert values[f"{language}.espeak.style_percent"] == 100
        assert values[f"{language}.espeak.pitch_off_octaves"] == 0
        assert all(
            0 <= float(values[f"{language}.{way}.{share}"] or 0) <= 200
            for way in ways
            for share in SHARES
        )
    assert about["command"].startswith("python -m benchmarks.round_trip")


def test_no_items_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        round_trip.main(["--items", "0"])
    assert "--items" in capsys.readouterr().err
