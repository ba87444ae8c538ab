"""The cache: what was made once is read again, whatever happens to its files."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from finetune.lora.data.cache import MediaCache
from finetune.lora.data.places import CACHE, cache_folder, inline_folder
from omni.errors import MediaError

ROWS = np.arange(12, dtype=np.int32).reshape(3, 4)


def entries(cache: MediaCache) -> list[Path]:
    return sorted(cache.folder.glob("*/*"))


def fail() -> np.ndarray:
    raise AssertionError("it was made again")


def test_what_was_made_is_read_again(tmp_path: Path) -> None:
    assert (MediaCache(tmp_path).get("ab12", lambda: ROWS) == ROWS).all()
    again = MediaCache(tmp_path).get("ab12", fail)
    assert again.dtype == ROWS.dtype and (again == ROWS).all()


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"rubbish"])
def test_a_broken_entry_is_made_again(tmp_path: Path, damage: bytes) -> None:
    cache = MediaCache(tmp_path)
    cache.get("ab12", lambda: ROWS)
    (entry,) = entries(cache)
    entry.write_bytes(damage)
    assert (cache.get("ab12", lambda: ROWS) == ROWS).all()
    assert (MediaCache(tmp_path).get("ab12", fail) == ROWS).all()


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    cache = MediaCache(tmp_path)
    cache.get("ab12", lambda: ROWS)
    (entry,) = entries(cache)
    np.save(entry, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert (cache.get("ab12", lambda: ROWS) == ROWS).all()


def test_an_interruption_leaves_nothing_under_a_name(tmp_path: Path) -> None:
    cache = MediaCache(tmp_path)

    def interrupted() -> np.ndarray:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.get("ab12", interrupted)
    assert not entries(cache)


def test_the_least_used_go_first(tmp_path: Path) -> None:
    cache = MediaCache(tmp_path, most_bytes=10 * ROWS.nbytes + 10 * 128)
    for number in range(10):
        cache.get(f"{number:02}key", lambda: ROWS)
    files = entries(cache)
    for age, file in enumerate(reversed(files)):
        os.utime(file, (time.time() - 1000 - age,) * 2)
    cache.get("00key", fail)  # the oldest, used now
    cache.get("xykey", lambda: ROWS)
    swept = cache.sweep()
    assert swept.entries == 3 and swept.size == 3 * files[0].stat().st_size
    left = {file.parent.name for file in entries(cache)}
    assert "00" in left and "xy" in left and not {"01", "02", "03"} & left


def test_a_sweep_removes_what_was_left_half_written(tmp_path: Path) -> None:
    cache = MediaCache(tmp_path)
    cache.get("ab12", lambda: ROWS)
    old, new = tmp_path / "ab" / "old.part", tmp_path / "ab" / "new.part"
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    assert cache.sweep().entries == 0
    assert not old.exists() and new.exists(), "another process may be writing it"


def test_a_disk_that_cannot_be_written_costs_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert (MediaCache(blocked).get("ab12", lambda: ROWS) == ROWS).all()
    assert "cannot be written" in caplog.text


def test_keys_are_of_content_and_of_all_that_matters(tmp_path: Path) -> None:
    cache = MediaCache(tmp_path / "cache")
    one, copy, two = (tmp_path / name for name in ("one", "copy", "two"))
    one.write_bytes(b"same")
    copy.write_bytes(b"same")
    two.write_bytes(b"other")
    assert cache.key(one, "codes", 1) == cache.key(copy, "codes", 1)
    assert (
        len({cache.key(one, "codes", 1), cache.key(two, "codes", 1), cache.key(one, "codes", 2)})
        == 3
    )
    before = cache.key(one)
    one.write_bytes(b"changed")
    os.utime(one, ns=(1, 1))
    assert cache.key(one) != before
    with pytest.raises(MediaError):
        cache.key(tmp_path / "gone")


def test_the_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, str(tmp_path))
    assert cache_folder() == tmp_path and inline_folder().parent == tmp_path
    monkeypatch.delenv(CACHE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "baichuan-omni" / "finetune"
