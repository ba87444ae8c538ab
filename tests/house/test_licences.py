"""The table of licences is what the installed packages say, and NOTICE names what it must."""

from __future__ import annotations

from docs.licences import NOTICE, PAGE, Row, all_rows, problems, table

NAMED = NOTICE.read_text(encoding="utf-8")


def test_nothing_is_left_to_look_at() -> None:
    assert list(problems(all_rows(), NAMED)) == []


def test_the_table_has_every_package_as_it_is_installed() -> None:
    listed = PAGE.read_text(encoding="utf-8").splitlines()
    rows = all_rows()
    assert len(rows) > 40
    missing = [row.name for row in rows if table([row]).splitlines()[-1] not in listed]
    assert not missing, "run python docs/licences.py"


def test_what_nobody_has_looked_at_is_named() -> None:
    rows = [
        Row("good", "1", "MIT AND (BSD-3-Clause OR Apache-2.0 WITH LLVM-exception)", ()),
        Row("strange", "1", "MIT AND SSPL-1.0", ()),
        Row("silent", "1", "", ()),
        Row("copyleft", "1", "LGPL-2.1-or-later", ()),
        Row("carrier", "1", "MIT", ("x264 (GPL-2.0-or-later)",)),
        Row("named", "1", "MPL-2.0", ()),
    ]
    found = list(problems(rows, "NOTICE of named"))
    assert [line.partition(":")[0] for line in found] == [
        "strange",
        "silent",
        "copyleft",
        "carrier",
    ]


def test_the_builds_of_ffmpeg_are_found_in_their_wheels() -> None:
    carried = {row.name: row.carries for row in all_rows()}
    assert any("GPL" in part for part in carried["av"])
    assert any("GPL" in part for part in carried["imageio-ffmpeg"])
