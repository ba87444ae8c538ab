"""How the page is, for whatever watches it: containers, proxies, people with curl.

Knows: the route, and a command that asks it. Does not know: what is done about the answer.

``/healthz`` answers ``{"state": ...}`` to everybody, behind no login. A model that loads is no
fault: ``idle`` (the first question loads it), ``loading`` and ``ready`` come with 200, ``broken``
(the last load failed, nobody is answered) with 503. ``/healthz?ready`` comes with 503 until turns
are answered at once, for whoever sends visitors only there.

Usage: python -m demos.hosting.health [ADDRESS]; exits with 0 or 1, as a health check wants it.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from omni.engine import Engine

PATH = "/healthz"
WELL, UNWELL = 200, 503  # HTTP status codes
ASK_S = 5.0  # for an answer
FIRST_PORT = 7860


def route(engine: Engine) -> BaseRoute:
    """To be served beside the page."""
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def answer(request: Request) -> JSONResponse:
        state = engine.state
        well = state == "ready" if "ready" in request.query_params else state != "broken"
        headers = {"cache-control": "no-store"}
        return JSONResponse({"state": state}, WELL if well else UNWELL, headers=headers)

    return Route(PATH, answer)


def ask(address: str) -> str:
    """The state of the page at ``address``, which this machine serves.

    Raises:
        OSError: nobody answers, or that it is not well.
    """
    # It is asked whether it lives, not who it is: its certificate may be of another name.
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting)
    )
    with opener.open(address.rstrip("/") + PATH, timeout=ASK_S) as answer:
        return str(json.load(answer)["state"])


def main(arguments: list[str]) -> int:
    """Ask the page of this machine, or the one at the address that is given."""
    port = os.environ.get("GRADIO_SERVER_PORT", "").strip() or FIRST_PORT
    tried = arguments[:1] or [f"{scheme}://127.0.0.1:{port}" for scheme in ("http", "https")]
    failure = ""
    for address in tried:
        try:
            print(ask(address))
            return 0
        except (OSError, ValueError, KeyError) as error:
            failure = failure or f"{address}: {error}"
    print(failure, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
