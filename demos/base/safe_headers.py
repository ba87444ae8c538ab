"""What every answer tells the browser about what the page may load, ask and be framed by.

Knows: the content policy and its kin. Does not know: routes, who may speak to the server.

Whatever a model or a person writes into a bubble, the page fetches nothing from other hosts.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HOST = re.compile(r"[\w.\-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?")  # nothing that ends a directive
_OWN = "'self' blob: data: 'unsafe-inline' 'unsafe-eval'"
# A Space is shown in a frame of these, whose height Gradio's page tells by a script of that host.
SPACE_FRAMES = ("https://huggingface.co", "https://*.huggingface.co", "https://*.hf.space")
SPACE_SCRIPTS = "https://cdnjs.cloudflare.com/ajax/libs/iframe-resizer/"


def content_policy(hosts: tuple[str, ...], space: bool) -> str:
    """The policy of a page that the browser reaches under ``hosts`` (each with its port)."""
    # Some browsers do not count WebSockets of the same host among 'self'.
    sockets = [f"{kind}://{host}" for host in hosts for kind in ("ws", "wss")]
    frames = SPACE_FRAMES if space else ()
    rules = {
        "default-src": [_OWN],
        "script-src": [_OWN, *([SPACE_SCRIPTS] if space else [])],
        "connect-src": ["'self' blob: data:", *sockets],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'self'", *frames],
    }
    return "; ".join(f"{name} {' '.join(values)}" for name, values in rules.items())


class SafeHeaders:
    """Adds the headers to every answer. ``space``: the page is a Hugging Face Space."""

    def __init__(self, app: ASGIApp, space: bool) -> None:
        self.app = app
        self.space = space

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        named = (asked.get("host", ""), asked.get("x-forwarded-host", ""))
        hosts = tuple(dict.fromkeys(host for host in named if _HOST.fullmatch(host)))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                headers["Content-Security-Policy"] = content_policy(hosts, self.space)
            await send(message)

        await self.app(scope, receive, with_headers)
