"""``app.py`` as it is, but that who left is forgotten after a second and not after a minute, and
what was uploaded and never sent after twenty and not after an hour.

So that a test need not wait for what the sweeper does. Arguments are those of ``app.py``.
"""

from __future__ import annotations

import runpy
from typing import Any

from demos.turns import sessions
from tests.support.root import ROOT

GRACE_S, UPLOAD_LIFETIME_S = 1.0, 20.0


class QuickSessions(sessions.Sessions):
    """Sessions that end a second after their visitor left."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more, grace_s=GRACE_S)


if __name__ == "__main__":
    vars(sessions).update(Sessions=QuickSessions, UPLOAD_LIFETIME_S=UPLOAD_LIFETIME_S)
    runpy.run_path(str(ROOT / "app.py"), run_name="__main__")
