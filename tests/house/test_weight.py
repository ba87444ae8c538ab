"""How much a fresh clone weighs."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.root import ROOT

MOST = 45 * 2**20  # bytes on the disk, without history
BLOCK = 4096  # bytes, of which a disk gives whole ones


def test_a_fresh_clone_stays_light() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    sizes = {file: file.stat().st_size for file in files if file.is_file()}
    weight = sum(-(-size // BLOCK) * BLOCK for size in sizes.values())
    heaviest = [
        f"{file.relative_to(ROOT)}: {sizes[file]:,}"
        for file in sorted(sizes, key=sizes.__getitem__)
    ]
    assert weight < MOST, f"{weight / 2**20:.1f} MiB; the heaviest: {heaviest[-8:]}"
