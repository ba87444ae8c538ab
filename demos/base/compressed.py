"""The page itself travels compressed: it is text, and ten times as large as it need be.

Knows: which answers are whole texts. Does not know: what is in them. Whatever streams (sound,
events, Live) goes out as it comes; Gradio's own scripts are compressed by Gradio.
"""

from __future__ import annotations

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

TEXTS = ("/", "/config", "/theme.css", "/gradio_api/info", "/login")


class Compressed:
    """Compresses the answers to requests for :data:`TEXTS`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.compressing = GZipMiddleware(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        path = scope.get("path", "").removeprefix(scope.get("root_path", "")) or "/"
        text = scope["type"] == "http" and path in TEXTS
        await (self.compressing if text else self.app)(scope, receive, send)
