"""The ffmpeg program, which Gradio needs for streamed sound.

Knows: the system's ffmpeg and the binary of imageio-ffmpeg. Does not know: media files.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path

import imageio_ffmpeg
import platformdirs

from omni.errors import ResourceError

logger = logging.getLogger(__name__)


def find_ffmpeg(cache: Path | None = None) -> Path:
    """The ffmpeg program, made reachable as ``ffmpeg`` for this process and its children.

    Without a system ffmpeg, the binary that comes with imageio-ffmpeg (whose name carries its
    version) is linked as ``ffmpeg`` into ``cache`` (or, where that cannot be written, into a
    temporary folder), and that folder is appended to PATH.

    Raises:
        ResourceError: ``ffmpeg-missing``.
    """
    if found := shutil.which("ffmpeg"):
        return Path(found)
    try:
        binary = Path(imageio_ffmpeg.get_ffmpeg_exe()).resolve()
    except RuntimeError as error:
        raise ResourceError(
            "ffmpeg-missing", "The program ffmpeg was not found: install it, then start again."
        ) from error
    folder = cache or platformdirs.user_cache_path("baichuan-omni-webui") / "bin"
    name = "ffmpeg.exe" if os.name == "nt" else "ffmpeg"
    try:
        _link(binary, folder / name)
    except OSError as error:
        logger.info("ffmpeg: %s cannot be written (%s)", folder, error)
        folder = Path(tempfile.mkdtemp(prefix="omni-ffmpeg-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _link(binary, folder / name)
    link = folder / name
    os.environ["PATH"] = os.pathsep.join([*filter(None, [os.environ.get("PATH")]), str(folder)])
    logger.info("ffmpeg: no system program, using %s", binary)
    return link


def _link(binary: Path, link: Path) -> None:
    """Make ``link`` lead to ``binary``; a copy where links are not allowed (Windows)."""
    if link.exists() and link.resolve() == binary:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f"{link.name}.{os.getpid()}")  # another process may be doing the same
    fresh.unlink(missing_ok=True)
    try:
        fresh.symlink_to(binary)
    except OSError:
        shutil.copy2(binary, fresh)
    fresh.replace(link)
