"""The golden set of the repository comes out of its packed form as the published code wrote it."""

from __future__ import annotations

import hashlib
import lzma
import shutil
from pathlib import Path

import pytest
import torch

from tests.support.golden_pack import BLOCK, LARGE, RECIPE, Stream, description, pack, unpack
from tests.support.golden_set import DEFAULT_FOLDER, golden_set


def kept(folder: Path) -> dict[str, bytes]:
    """The files that stand for others."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.suffix in (".xz", ".flac") or file == folder / RECIPE
    }


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """The set as it is committed."""
    golden_set()
    folder = tmp_path / "set"
    names = {name for name in description(DEFAULT_FOLDER) if name.endswith(LARGE)}
    shutil.copytree(
        DEFAULT_FOLDER,
        folder,
        ignore=lambda where, files: [
            file
            for file in files
            if (Path(where) / file).relative_to(DEFAULT_FOLDER).as_posix() in names
        ],
    )
    return folder


def test_every_described_file_comes_out_bit_by_bit(packed: Path) -> None:
    missing = [name for name in description(DEFAULT_FOLDER) if not (packed / name).exists()]
    assert "ckpt/model.safetensors" in missing
    unpack(packed)
    for name, entry in description(DEFAULT_FOLDER).items():
        content = (packed / name).read_bytes()
        assert len(content) == entry["bytes"], name
        assert hashlib.sha256(content).hexdigest().startswith(entry.get("sha256", "")), name


def test_packing_what_came_out_gives_what_is_committed(packed: Path) -> None:
    before = kept(packed)
    unpack(packed)
    for name in before:
        (packed / name).unlink()
    pack(packed)
    after = kept(packed)
    assert set(after) == set(before)
    assert after[RECIPE] == before[RECIPE]


def test_a_file_that_differs_is_refused(packed: Path) -> None:
    recipe = packed / RECIPE
    text = lzma.decompress(recipe.read_bytes())
    recipe.write_bytes(lzma.compress(text.replace(b'"seed": 20240501', b'"seed": 1')))
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        unpack(packed)
    assert not (packed / "ckpt" / "model.safetensors").exists()


@pytest.mark.parametrize("count", [BLOCK, BLOCK + 1, 3 * BLOCK - 1, 1000])
def test_the_stream_is_torchs(count: int) -> None:
    stream, torchs = Stream(7), torch.Generator().manual_seed(7)
    for _ in range(3):
        want = torch.randn(count, generator=torchs).double()
        assert torch.allclose(torch.from_numpy(stream.normal(count)), want, atol=1e-5)
