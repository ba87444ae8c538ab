#!/usr/bin/env bash
# Sets up an environment and runs every check: lint, format, types, tests (the browser's and those of
# the page's scripts too).
# Environment: OMNI_VENV (default .venv), PYTHON (default python3); arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${OMNI_VENV:-.venv}
if [ ! -x "$venv/bin/python" ]; then
  "${PYTHON:-python3}" -m venv "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  -r requirements.txt -r requirements-train.txt -r requirements-dev.txt -r requirements-ray.txt \
  -c constraints.txt
if command -v npm >/dev/null; then
  npm ci --silent --no-audit --no-fund
fi

"$venv/bin/python" -m ruff check
"$venv/bin/python" -m ruff format --check
"$venv/bin/python" -m mypy
"$venv/bin/python" -m pytest -m "not slow and not gpu" "$@"
