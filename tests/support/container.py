"""What the Dockerfile says, and its last stage done here without Docker.

Knows: instructions, .dockerignore, namespaces of Linux. Does not know: the page.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.support.root import ROOT

DOCKERFILE = ROOT / "Dockerfile"
SYSTEM = ("usr", "etc", "bin", "lib", "lib64", "sbin", "dev")  # of the host, to be read
USER = 54321  # any; it has no entry and no home
# A root of its own, which nothing can write to but /tmp and /data, with this process as number 1.
SCRIPT = """
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$NEW"
for name in {system}; do
  [ -e "/$name" ] || continue
  if [ -L "/$name" ]; then cp -P "/$name" "$NEW/$name"; continue; fi
  mkdir "$NEW/$name" && mount --rbind "/$name" "$NEW/$name"
done
[ -e "$NEW$BASE" ] || {{ mkdir -p "$NEW$BASE" && mount --bind "$BASE" "$NEW$BASE"; }}
mkdir -p "$NEW/opt/omni" "$NEW/app" "$NEW/proc" "$NEW/tmp" "$NEW/data"
mount --bind "$VENV" "$NEW/opt/omni"
mount --bind "$APP" "$NEW/app"
mount -t proc proc "$NEW/proc"
mount -t tmpfs -o mode=1777 tmpfs "$NEW/tmp"
mount -t tmpfs -o mode=1777 tmpfs "$NEW/data"
mount -o remount,ro,bind "$NEW/app"
mount -o remount,ro "$NEW"
exec chroot "$NEW" /usr/bin/setpriv --reuid {user} --regid {user} --clear-groups \\
  /usr/bin/env -i {variables} /bin/sh -c 'cd /app && exec "$@"' sh {command}
"""


def instructions(stage: int = -1) -> list[tuple[str, str]]:
    """The instructions of a stage of the Dockerfile, each with what follows it."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines()]
    starts = [n for n, (name, _) in enumerate(found) if name == "FROM"]
    begin = starts[stage]
    later = [start for start in starts if start > begin]
    return found[begin : later[0] if later else None]


def only(name: str) -> str:
    """What follows an instruction of the last stage that stands there once."""
    ((_, rest),) = [one for one in instructions() if one[0] == name]
    return rest


def variables() -> dict[str, str]:
    """The environment that the last stage sets."""
    given = [rest for name, rest in instructions() if name == "ENV"]
    return dict(pair.split("=", 1) for rest in given for pair in shlex.split(rest))


def command(name: str) -> list[str]:
    """A command in the form of a list, of ENTRYPOINT or HEALTHCHECK."""
    rest = only(name)
    words = json.loads(rest[rest.index("[") :])
    assert isinstance(words, list)
    return words


def context() -> list[Path]:
    """The files that .dockerignore lets into the image, relative to the repository."""
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    kept = [rule[1:] for rule in rules if rule.startswith("!")]
    dropped = [rule.removeprefix("**/") for rule in rules if rule.startswith("**/")]
    assert rules[0] == "*" and len(kept) + len(dropped) + 1 == len(rules)  # all that is understood
    found = []
    for name in kept:
        top = ROOT / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            inside = path.relative_to(ROOT)
            if path.is_file() and not any(fnmatch(p, d) for p in inside.parts for d in dropped):
                found.append(inside)
    return found


def copied(folder: Path) -> Path:
    """The image's /app, made below ``folder``."""
    app = folder / "app"
    for path in context():
        (app / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, app / path)
    for path in (app, *app.rglob("*")):  # whatever the umask of a test is
        path.chmod(0o755 if path.is_dir() else 0o644)
    return app


def start(
    arguments: Sequence[str],
    folder: Path,
    given: Mapping[str, str],
    log: Path,
    app: Path | None = None,
    user: int = USER,
) -> subprocess.Popen[bytes]:
    """Run a command of the image as it would run there; needs Linux and root.

    Args:
        arguments: with the image's paths.
        folder: empty, for what is mounted.
        given: the environment.
        app: what lies in /app; None: as the Dockerfile has it.
        user: who runs it.
    """
    new = folder / "root"
    new.mkdir()
    given = {"PATH": "/opt/omni/bin:/usr/bin:/bin"} | dict(given)
    script = SCRIPT.format(
        system=" ".join(SYSTEM),
        user=user,
        variables=" ".join(shlex.quote(f"{name}={value}") for name, value in given.items()),
        command=shlex.join(arguments),
    )
    places = {"NEW": str(new), "BASE": sys.base_prefix, "VENV": sys.prefix}
    with log.open("wb") as file:
        return subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
            env=os.environ | places | {"APP": str(app or copied(folder))},
            stdout=file,
            stderr=file,
        )


ROOTED = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare"),
    reason="a root file system of its own needs Linux and root",
)


def terminate(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the container's process, as whoever stops a container sends it."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGTERM)
