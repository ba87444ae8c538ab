"""What the Hugging Face Hub's cache has of our models.

Knows: the Hub client's list of its cache, which repositories are ours. Does not know: kept weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import CacheNotFound

from omni.errors import CheckpointError
from omni.loading.checkpoint import MODEL_TYPE, read_json
from omni.loading.hub import VOCODER_REPOSITORY


@dataclass(frozen=True)
class HubModel:
    """A repository in the cache."""

    name: str  # owner/name
    bytes: int  # on the disk
    used: float  # seconds since 1970


def hub_models() -> list[HubModel]:
    """Those of this architecture, and the vocoder's; the newest use first."""
    try:
        repositories = huggingface_hub.scan_cache_dir().repos
    except CacheNotFound:
        return []
    found = [
        HubModel(repository.repo_id, repository.size_on_disk, repository.last_accessed)
        for repository in repositories
        if repository.repo_type == "model" and _is_ours(repository.repo_id, repository.repo_path)
    ]
    return sorted(found, key=lambda model: -model.used)


def _is_ours(name: str, folder: Path) -> bool:
    if name == VOCODER_REPOSITORY:
        return True
    for path in folder.glob("snapshots/*/config.json"):
        try:
            if read_json(path).get("model_type") == MODEL_TYPE:
                return True
        except CheckpointError:  # broken: nothing says whose it is
            continue
    return False
