"""The folders that a program is given by its surroundings: a home, one for temporary files; their
room.

Knows: HOME, TMPDIR, users without an entry (any uid in a container), disks. Does not know: what is
kept there. Runs before the libraries that ask for these folders while they are imported.
"""

from __future__ import annotations

import atexit
import getpass
import logging
import os
import shutil
import tempfile
from pathlib import Path

from omni.errors import ResourceError

logger = logging.getLogger(__name__)

TEMPORARY = ("TMPDIR", "TEMP", "TMP")


def prepare_places() -> None:
    """Give this process and its children a folder for temporary files, a home and a user name.

    Raises:
        ResourceError: ``temporary-missing``, no folder for temporary files can be written.
    """
    found = _temporary()
    for name in TEMPORARY:
        wanted = os.environ.get(name)
        if wanted and Path(wanted).absolute() != found:
            logger.warning("%s names %s, which cannot be written: using %s", name, wanted, found)
            os.environ[name] = str(found)
        elif wanted:
            break
    if not _has_home():
        home = private_folder("omni-home-")
        logger.warning("there is no home folder (HOME): using %s until the program ends", home)
        os.environ["HOME"] = str(home)
    try:
        getpass.getuser()
    except (OSError, KeyError, ImportError):  # torch asks for it, and fails with a traceback
        os.environ["LOGNAME"] = "omni"


def private_folder(prefix: str) -> Path:
    """A temporary folder of this process alone, which goes when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def free_on_disk(path: Path) -> tuple[Path, int]:
    """Where on a disk ``path`` is or would be made, as far as that is there, and free bytes."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    return place, shutil.disk_usage(place).free


def _temporary() -> Path:
    try:
        return Path(tempfile.gettempdir()).absolute()
    except FileNotFoundError as error:
        raise ResourceError(
            "temporary-missing",
            "No folder for temporary files can be written: set {name} to one that can, "
            "or free some space.",
            name=TEMPORARY[0],
        ) from error


def _has_home() -> bool:
    """Whether ``~`` leads anywhere; what stays ``~`` would become a folder of that name."""
    return Path(os.path.expanduser("~")).is_absolute()  # noqa: PTH111 - Path's raises
