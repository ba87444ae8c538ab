"""Serving the page: addresses, logins, limits, what browsers may load.

Knows: Gradio's launch, ports, Hugging Face Spaces. Does not know: what is on the page.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demos.base import theme
from demos.base.gradio_internals import (
    end_silent_connections,
    keep_uploads_apart,
    rest_queue,
)
from demos.base.languages import Words
from demos.base.page import routes_beside
from omni.errors import OmniError
from omni.loading.checkpoint import Checkpoint
from omni.settings import NANO

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"
FIRST_PORT = 7860
PORTS_TRIED = 100
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")  # owner/name; omni.loading.hub would import torch
MAX_UPLOAD = "500mb"
MAX_THREADS = 128  # of handlers: more than turns may wait, so that everything else goes on
SILENT_S = 30.0  # without a sign of the other side: the connection is dead
QUEUE_REST_S = 0.01  # between Gradio's looks into its empty queue
# Whatever a model or a person writes into a bubble, the page fetches nothing from other hosts.
CONTENT_POLICY = (
    "default-src 'self' blob: data: 'unsafe-inline' 'unsafe-eval'; "
    "connect-src 'self' blob: data: ws: wss:; object-src 'none'; base-uri 'self'"
)


class ServeError(OmniError):
    """A flag that cannot be followed."""


@dataclass(frozen=True)
class ServeOptions:
    """How to serve. ``port`` None: the first free one from FIRST_PORT on."""

    host: str = LOOPBACK
    port: int | None = None
    share: bool = False
    auth: tuple[tuple[str, str], ...] = ()

    @property
    def private(self) -> bool:
        """Whether only people at this machine reach the page, and no login tells them apart."""
        return is_loopback(self.host) and not (self.share or self.auth or on_space())


def check_model(name: str) -> None:
    """Look at a local checkpoint before anything starts; one of the Hub is met when it loads.

    Raises:
        CheckpointError: the folder is missing, incomplete or of another architecture.
    """
    folder = Path(name).expanduser()
    if name in (NANO, "auto") or (_HUB_NAME.fullmatch(name) and not folder.exists()):
        return
    checkpoint = Checkpoint(folder, name)
    _ = checkpoint.config, checkpoint.weight_files


def on_space() -> bool:
    """Whether this runs as a Hugging Face Space, whose proxy must reach the server."""
    return "SPACE_ID" in os.environ


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own, for itself."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def login(text: str) -> tuple[str, str]:
    """``user:password`` as a pair.

    Raises:
        ServeError: another form.
    """
    user, colon, password = text.partition(":")
    if not (user and colon and password):
        raise ServeError("login-form", "--auth must look like user:password.")
    return user, password


def free_port(host: str, port: int | None) -> int:
    """``port`` if it is free; without one, the first free one from FIRST_PORT on.

    Raises:
        ServeError: it is taken, may not be used, or the host is not one of this machine.
    """
    if port is not None:
        _try(host, port)
        return port
    for candidate in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        try:
            _try(host, candidate)
        except PortTaken:
            continue
        return candidate
    raise ServeError(
        "ports-taken", "No port from {first} on is free: choose one with --port.", first=FIRST_PORT
    )


class PortTaken(ServeError):
    """Another program uses the port."""


def _try(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if os.name != "nt":  # there it would allow a second server on the same port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            number = getattr(error, "errno", None)
            if number == errno.EADDRINUSE:
                raise PortTaken(
                    "port-taken",
                    "Port {port} is in use by another program: choose another one with --port.",
                    port=port,
                ) from error
            if number == errno.EACCES:
                raise ServeError(
                    "port-rights",
                    "Port {port} needs administrator rights: choose one above 1023 with --port.",
                    port=port,
                ) from error
            raise ServeError(
                "address-unusable",
                "The address {host}:{port} cannot be used: check --host and --port.",
                host=host,
                port=port,
            ) from error


def serve(page: gr.Blocks, words: Words, options: ServeOptions) -> str:
    """Start serving and return the local address; the caller keeps the process alive."""
    page.queue(default_concurrency_limit=4)
    rest_queue(page, QUEUE_REST_S)
    keep_uploads_apart()
    _, address, _ = page.launch(
        server_name=options.host,
        server_port=options.port,
        share=options.share,
        auth=list(options.auth) or None,
        i18n=words.i18n(),
        theme=theme.theme(),
        css_paths=list(theme.STYLES),
        head=theme.head(words.locales()),
        favicon_path=theme.LOGO,
        footer_links=["api"],
        max_file_size=MAX_UPLOAD,
        max_threads=MAX_THREADS,
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        show_error=False,
        inbrowser=False,
        quiet=True,
        prevent_thread_lock=True,
        app_kwargs=_app_arguments() | {"routes": routes_beside(page)},
    )
    end_silent_connections(page, SILENT_S)
    return address


def _app_arguments() -> dict[str, Any]:
    if on_space():  # the page stands in a frame of huggingface.co, whose scripts it may need
        return {}
    return {"middleware": [Middleware(ContentPolicy)]}


class ContentPolicy:
    """Adds the content security policy to HTML pages."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers["Content-Security-Policy"] = CONTENT_POLICY
            await send(message)

        await self.app(scope, receive, with_policy if scope["type"] == "http" else send)
