"""Under which licences the packages are that requirements.txt brings.

Usage: python docs/licences.py           writes the table of docs/licences.md anew
       python docs/licences.py --check   writes nothing; exit code 1 and a line for each problem

A problem: a licence that nobody has looked at, one that is not permissive and that NOTICE does
not name, GPL parts in a package that NOTICE does not name, a table that is not up to date.
What belongs to some machines alone (CUDA's packages, colorama on Windows) is not listed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PAGE, NOTICE = ROOT / "docs" / "licences.md", ROOT / "NOTICE"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"

# Everything may be done with them, as long as their texts are kept.
PERMISSIVE = {
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Zlib",
}  # fmt: skip
# Changes of the package itself stay under its licence; it may be used as it is. NOTICE names them.
WEAK_COPYLEFT = {"LGPL-2.1-or-later", "MPL-2.0"}
# How packages spell them that do not use the names of SPDX.
SPELLED = {
    "apache": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd license": "BSD",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
}
# What a package carries that its own licence does not cover, by the name of the file.
CARRIED = {
    re.compile(r"libx264"): "x264 (GPL-2.0-or-later)",
    re.compile(r"libx265"): "x265 (GPL-2.0-or-later)",
    re.compile(r"binaries/ffmpeg-"): "ffmpeg (GPL-3.0-or-later)",
    re.compile(r"libsndfile"): "libsndfile (LGPL-2.1-or-later)",
    re.compile(r"libgfortran"): "libgfortran (GPL-3.0 with GCC's runtime exception)",
}
SOME_MACHINES = ("nvidia-", "cuda-", "triton", "colorama")  # how the names of their packages begin
STRONG = re.compile(r"\((?:L?GPL)")


@dataclass(frozen=True)
class Row:
    """One package."""

    name: str
    version: str
    licence: str  # in SPDX's names where they could be found
    carries: tuple[str, ...]  # parts under other licences

    @property
    def licences(self) -> set[str]:
        """The licences one by one; an exception belongs to its licence."""
        parts = re.split(r"\s+(?:AND|OR)\s+|[()]", self.licence)
        return {part.partition(" WITH ")[0].strip() for part in parts if part.strip()}

    @property
    def known(self) -> bool:
        """Whether all of them have been looked at."""
        return bool(self.licences) and self.licences <= PERMISSIVE | WEAK_COPYLEFT

    @property
    def noticed(self) -> bool:
        """Whether NOTICE has to name it."""
        return bool(self.licences & WEAK_COPYLEFT) or any(map(STRONG.search, self.carries))


def installed(lines: Iterable[str]) -> dict[str, Distribution]:
    """The packages that requirements bring, as far as they are installed here, by name."""
    found: dict[str, Distribution] = {}
    wanted = [Requirement(line) for line in map(_uncommented, lines) if line]
    while wanted:
        one = wanted.pop()
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        if name in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        wanted += _brought(found[name], one.extras or {""})
    return {n: found[n] for n in sorted(found) if not n.startswith(SOME_MACHINES)}


def row(name: str, package: Distribution) -> Row:
    """What a package says of itself, and what lies in it."""
    meta = package.metadata
    field = (meta.get("License") or "").strip().partition("\n")[0]
    exact = SPELLED.get(field.lower(), field) in PERMISSIVE - {"BSD"} | WEAK_COPYLEFT
    said = meta.get("License-Expression") or (field if exact else "")
    said = said or _classified(meta.get_all("Classifier") or ()) or field
    files = [str(file) for file in package.files or ()]
    carried = {what for pattern, what in CARRIED.items() if any(map(pattern.search, files))}
    version = package.version.partition("+")[0]  # torch's names the machine behind the +
    return Row(name, version, SPELLED.get(said.lower(), said), tuple(sorted(carried)))


def problems(rows: list[Row], notice: str) -> Iterator[str]:
    """What somebody has to look at."""
    named = notice.lower()
    for one in rows:
        if not one.known:
            yield f"{one.name}: nobody has looked at the licence {one.licence or '(none)'!r}"
        if one.noticed and not re.search(rf"\b{re.escape(one.name)}\b", named):
            yield f"{one.name}: NOTICE does not name it ({one.licence}; {', '.join(one.carries)})"


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| package | version | licence | parts under other licences |", "|---|---|---|---|"]
    lines += [f"| {r.name} | {r.version} | {r.licence} | {', '.join(r.carries)} |" for r in rows]
    return "\n".join(lines)


def written(page: str, rows: list[Row]) -> str:
    """The page with a new table."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{rest.partition(END)[2]}"


def all_rows() -> list[Row]:
    """Of requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [row(name, package) for name, package in installed(lines).items()]


def main() -> int:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description="Licences of the packages that are used.")
    parser.add_argument("--check", action="store_true", help="write nothing, name problems")
    check = parser.parse_args().check
    rows, page = all_rows(), PAGE.read_text(encoding="utf-8")
    found = list(problems(rows, NOTICE.read_text(encoding="utf-8")))
    new = written(page, rows)
    if check and new != page:
        found.append("docs/licences.md is not up to date: run python docs/licences.py")
    elif not check:
        PAGE.write_text(new, encoding="utf-8")
    print("\n".join(found) or f"{len(rows)} packages, nothing to look at.")
    return 1 if found else 0


def _uncommented(line: str) -> str:
    return line.partition("#")[0].strip()


def _brought(package: Distribution, extras: set[str]) -> Iterator[Requirement]:
    for line in package.requires or ():
        one = Requirement(line)
        if one.marker is None or any(one.marker.evaluate({"extra": name}) for name in extras):
            one.marker = None
            yield one


def _classified(classifiers: Iterable[str]) -> str:
    last = [one.rpartition("::")[2].strip() for one in classifiers if one.startswith("License")]
    return " AND ".join(sorted({SPELLED.get(one.lower(), one) for one in last}))


if __name__ == "__main__":
    sys.exit(main())
