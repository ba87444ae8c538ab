"""An engine behind connections without Ray, in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from omni.remote.server import Serving
from tests.browser.server import free_port
from tests.support.engine_parts import until


@contextmanager
def served(serving: Serving) -> Iterator[str]:
    """Its address, while it is served."""
    port = free_port()
    app = Starlette(routes=[WebSocketRoute("/", serving.talk)])
    config = uvicorn.Config(app, "127.0.0.1", port, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
        serving.close()
